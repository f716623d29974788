from . import commands as commands
from . import group as group

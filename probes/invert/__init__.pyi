from .command import invert as invert
from .photograph import name_of as name_of
from .photograph import read as read
from .probe import run as run
from .result import Inversion as Inversion
from .search import Matches as Matches
from .search import Nearness as Nearness

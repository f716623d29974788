from .command import walk as walk
from .probe import run as run
from .result import Nearest as Nearest
from .result import Track as Track
from .result import Walk as Walk
from .ways import WAYS as WAYS

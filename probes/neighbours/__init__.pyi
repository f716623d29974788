from .command import neighbours as neighbours
from .probe import run as run
from .result import Neighbours as Neighbours

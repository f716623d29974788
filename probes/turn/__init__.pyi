from .command import turn as turn
from .probe import run as run
from .result import Response as Response
from .result import Turn as Turn

from .command import directions as directions
from .probe import run as run
from .result import Direction as Direction
from .result import Directions as Directions

from .command import ablate as ablate
from .probe import run as run
from .result import Ablated as Ablated

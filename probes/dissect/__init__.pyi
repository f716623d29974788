from .command import dissect as dissect
from .probe import run as run
from .result import Dissected as Dissected
from .result import Object as Object

from .command import features as features
from .options import Options as Options
from .probe import run as run
from .result import Classified as Classified
from .result import Extracted as Extracted

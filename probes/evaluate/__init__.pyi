from .command import evaluate as evaluate
from .comparison import ScaleComparison as ScaleComparison
from .comparison import Spread as Spread
from .probe import run as run
from .result import Evaluation as Evaluation
from .result import FeatureDistance as FeatureDistance

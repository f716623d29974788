from . import box_detector as box_detector
from . import classifiers as classifiers
from . import detectors as detectors
from . import exported as exported
from . import operations as operations
from . import regression as regression

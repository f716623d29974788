from . import chain as chain
from . import guided as guided
from . import responses as responses
from .guided import RULES as RULES
from .guided import GuidedBackprop as GuidedBackprop
from .responses import TopResponses as TopResponses
from .responses import receptive_fields as receptive_fields
from .responses import top_responses as top_responses

from . import autoencoder as autoencoder
from . import duplicates as duplicates
from . import hashing as hashing

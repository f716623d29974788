from . import autoencoder as autoencoder
from . import command as command
from . import hashing as hashing

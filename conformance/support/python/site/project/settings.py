"""A small Channels 1.x site. The layer is described by the environment variable CHANNEL_LAYER."""

import json
import os

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
ROOT_URLCONF = "project.views"
TIME_ZONE = "UTC"
USE_TZ = True

CHANNEL_LAYERS = {
    "default": {
        **json.loads(os.environ["CHANNEL_LAYER"]),
        "ROUTING": "project.consumers.routing",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

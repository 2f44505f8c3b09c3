################################################################################
#
# python-halow-gateway
#
################################################################################

PYTHON_HALOW_GATEWAY_VERSION = $(call halow_gateway_version)
PYTHON_HALOW_GATEWAY_SITE = $(realpath $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/..)
PYTHON_HALOW_GATEWAY_SITE_METHOD = local
PYTHON_HALOW_GATEWAY_LICENSE = MIT
PYTHON_HALOW_GATEWAY_LICENSE_FILES = LICENSE
PYTHON_HALOW_GATEWAY_SETUP_TYPE = setuptools

# What a developer's working folder holds besides the sources.
PYTHON_HALOW_GATEWAY_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude .venv --exclude build --exclude dist \
	--exclude "*.egg-info" --exclude "__pycache__"

$(eval $(python-package))

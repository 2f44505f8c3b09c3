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

# The operator's side (cloud/) stays off the board.
define PYTHON_HALOW_GATEWAY_REMOVE_CLOUD
	rm -rf $(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages/cloud \
		$(TARGET_DIR)/usr/bin/halow-cloud
endef
PYTHON_HALOW_GATEWAY_POST_INSTALL_TARGET_HOOKS += PYTHON_HALOW_GATEWAY_REMOVE_CLOUD

$(eval $(python-package))

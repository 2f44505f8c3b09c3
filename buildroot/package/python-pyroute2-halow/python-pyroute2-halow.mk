################################################################################
#
# python-pyroute2-halow
#
################################################################################

# Buildroot 2026.02.x has python-pyroute2 0.9.5. The gateway's netlink
# decoders are checked against recorded bytes of 0.9.7, so that one is built.
PYTHON_PYROUTE2_HALOW_VERSION = 0.9.7
PYTHON_PYROUTE2_HALOW_SOURCE = pyroute2-$(PYTHON_PYROUTE2_HALOW_VERSION).tar.gz
PYTHON_PYROUTE2_HALOW_SITE = https://files.pythonhosted.org/packages/1b/2a/d295013eb67b5bb3a0ebff7c6ae3f635a8f55929b3f5367889ddadd7f4dd
PYTHON_PYROUTE2_HALOW_LICENSE = Apache-2.0 or GPL-2.0+
PYTHON_PYROUTE2_HALOW_LICENSE_FILES = LICENSE.Apache-2.0 LICENSE.GPL-2.0-or-later README.license.rst
PYTHON_PYROUTE2_HALOW_SETUP_TYPE = setuptools

ifeq ($(BR2_PACKAGE_PYTHON_PYROUTE2_HALOW)$(BR2_PACKAGE_PYTHON_PYROUTE2)$(halow_gateway_building),yyy)
$(error python-pyroute2-halow takes the place of python-pyroute2: switch BR2_PACKAGE_PYTHON_PYROUTE2 off)
endif

$(eval $(python-package))

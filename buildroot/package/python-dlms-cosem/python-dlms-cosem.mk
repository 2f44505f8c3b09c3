################################################################################
#
# python-dlms-cosem
#
################################################################################

# 21.3.2 is the last release under the MIT licence. Its source archive does
# not build, so the wheel (pure Python) is installed as it is published.
PYTHON_DLMS_COSEM_VERSION = 21.3.2
PYTHON_DLMS_COSEM_SOURCE = dlms_cosem-$(PYTHON_DLMS_COSEM_VERSION)-py3-none-any.whl
PYTHON_DLMS_COSEM_SITE = https://files.pythonhosted.org/packages/25/61/caaf8ca323cec31215d9733a8df7fe67a755f3e990beb7008b5a3fd36dc8
PYTHON_DLMS_COSEM_LICENSE = MIT
PYTHON_DLMS_COSEM_LICENSE_FILES = dlms_cosem-$(PYTHON_DLMS_COSEM_VERSION).dist-info/LICENSE
PYTHON_DLMS_COSEM_SETUP_TYPE = pep517

# Unpacked for its licence only; what is installed is dist/*.whl
define PYTHON_DLMS_COSEM_EXTRACT_CMDS
	$(UNZIP) $(PYTHON_DLMS_COSEM_DL_DIR)/$(PYTHON_DLMS_COSEM_SOURCE) -d $(@D)
endef

define PYTHON_DLMS_COSEM_BUILD_CMDS
	mkdir -p $(@D)/dist
	cp $(PYTHON_DLMS_COSEM_DL_DIR)/$(PYTHON_DLMS_COSEM_SOURCE) $(@D)/dist/
endef

# The wheel carries its authors' tests as a package of that very name.
define PYTHON_DLMS_COSEM_REMOVE_TESTS
	rm -rf $(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages/tests
endef
PYTHON_DLMS_COSEM_POST_INSTALL_TARGET_HOOKS += PYTHON_DLMS_COSEM_REMOVE_TESTS

$(eval $(python-package))

################################################################################
#
# halow-gateway
#
################################################################################

HALOW_GATEWAY_VERSION = $(call halow_gateway_version)
# Nothing is downloaded or compiled here.
HALOW_GATEWAY_SOURCE =
HALOW_GATEWAY_LICENSE = MIT
HALOW_GATEWAY_LICENSE_FILES = LICENSE

# The static user of the unit (rootfs/usr/lib/sysusers.d): the root is read
# only, so it must be in the image. The files on /data belong to this number.
define HALOW_GATEWAY_USERS
	halow-gateway 780 halow-gateway 780 * /var/lib/halow-gateway - - HaLow edge gateway
endef

define HALOW_GATEWAY_EXTRACT_CMDS
	cp $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/../LICENSE $(@D)/
endef

# Licence texts travel with the program: the executable carries code of others
# and no texts (docs/decisions/0010).
define HALOW_GATEWAY_INSTALL_LICENCES
	$(INSTALL) -D -m 0644 $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/../LICENSE \
		$(TARGET_DIR)/usr/share/licenses/halow-gateway/LICENSE
	$(INSTALL) -D -m 0644 $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/../THIRD_PARTY.md \
		$(TARGET_DIR)/usr/share/licenses/halow-gateway/THIRD_PARTY.md
endef

ifeq ($(BR2_PACKAGE_HALOW_GATEWAY_PYTHON),y)
HALOW_GATEWAY_DEPENDENCIES += python-halow-gateway
else
# make HALOW_GATEWAY_BINARY=folder goes before the configuration
HALOW_GATEWAY_BINARY ?= $(call qstrip,$(BR2_PACKAGE_HALOW_GATEWAY_BINARY_DIR))

ifeq ($(BR2_PACKAGE_HALOW_GATEWAY)$(halow_gateway_building),yy)
ifeq ($(wildcard $(HALOW_GATEWAY_BINARY)/halow-gateway),)
$(error HALOW_GATEWAY_BINARY must name the folder that holds the executable halow-gateway for aarch64 (`make binary-aarch64` leaves it in build/binary/aarch64); it is "$(HALOW_GATEWAY_BINARY)")
endif
ifeq ($(wildcard $(HALOW_GATEWAY_BINARY)/licenses),)
$(error $(HALOW_GATEWAY_BINARY)/licenses is missing: the licence texts of what the executable carries; tools/buildroot/licences.py writes them)
endif
endif

define HALOW_GATEWAY_INSTALL_EXECUTABLE
	$(HALOW_GATEWAY_PKGDIR)/check-executable "$(TARGET_READELF)" \
		$(HALOW_GATEWAY_BINARY)/halow-gateway $(STAGING_DIR)/lib/libc.so.6
	$(INSTALL) -D -m 0755 $(HALOW_GATEWAY_BINARY)/halow-gateway \
		$(TARGET_DIR)/usr/bin/halow-gateway
	mkdir -p $(TARGET_DIR)/usr/share/licenses/halow-gateway
	cp -r $(HALOW_GATEWAY_BINARY)/licenses/. \
		$(TARGET_DIR)/usr/share/licenses/halow-gateway/
endef
endif

define HALOW_GATEWAY_INSTALL_TARGET_CMDS
	$(HALOW_GATEWAY_INSTALL_EXECUTABLE)
	$(HALOW_GATEWAY_INSTALL_LICENCES)
endef

$(eval $(generic-package))

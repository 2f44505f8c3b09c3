################################################################################
#
# demands
#
################################################################################

# What only the integrator has: the radio vendor's packages, the country, the
# signing key. Asked when something is going to be built, so that menuconfig,
# savedefconfig, show-info and the like work without.

ifeq ($(BR2_PACKAGE_HALOW_GATEWAY)$(halow_gateway_building),yy)

ifneq ($(BR2_HALOW_RADIO_NONE),y)
DEMANDS_MISSING = \
	$(if $(BR2_PACKAGE_HAS_HALOW_DRIVER),,halow-driver) \
	$(if $(BR2_PACKAGE_HAS_HALOW_FIRMWARE),,halow-firmware) \
	$(if $(BR2_HALOW_RADIO_MORSE),$(if $(BR2_PACKAGE_HAS_HALOW_DAEMONS),,halow-daemons))
ifneq ($(strip $(DEMANDS_MISSING)),)
$(error The radio's packages are missing: $(strip $(DEMANDS_MISSING)). They come from the radio's vendor and are not part of this \
	tree. Name the folder that holds them with HALOW_VENDOR_DIR (what it must hold: buildroot/README.md, "The radio"), or build \
	an image without a radio with RADIO=none)
endif

ifeq ($(call qstrip,$(BR2_HALOW_RADIO_COUNTRY)),)
$(error COUNTRY is not set: the country in which the radio may transmit, for instance COUNTRY=AU. It is fixed when the driver is \
	loaded, so it belongs to the image; nothing is assumed)
endif
endif

ifeq ($(call qstrip,$(BR2_HALOW_RAUC_KEYRING)),)
$(error RAUC_KEYRING is not set: the certificate (PEM) against which the image checks updates. For a trial on the desk: DEV_KEY=y)
endif
ifeq ($(wildcard $(call qstrip,$(BR2_HALOW_RAUC_KEYRING))),)
$(error RAUC_KEYRING names $(BR2_HALOW_RAUC_KEYRING), which is not there)
endif

endif

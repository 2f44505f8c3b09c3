# The gateway's own version, read where it is written.
halow_gateway_version = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/../edge/__init__.py)

# y when something is going to be built: only then is asked for what the integrator must give. Buildroot's BR_BUILDING is also set
# for targets that only look.
halow_gateway_building = $(if $(filter y,$(BR_BUILDING)),$(if $(filter-out \
	show-info show-build-order show-recursive-% external-deps source,$(or $(MAKECMDGOALS),all)),y))

include $(sort $(wildcard $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/package/*/*.mk))

# What must be there before anything is built; asked now, and not found out after an hour.
include $(BR2_EXTERNAL_HALOW_GATEWAY_PATH)/board/common/demands.mk

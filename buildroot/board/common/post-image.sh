#!/bin/sh
# Makes the card's image, and the update bundle where a key is named. Called by Buildroot with the folder of the images.
set -eu
images=$1
here=$(dirname "$0")
work=$BUILD_DIR/halow-gateway-image
boot=$work/boot

setting() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$BR2_CONFIG"; }
stop() { echo "post-image: $*" >&2; exit 1; }

board=$(setting BR2_HALOW_BOARD)
rm -rf "$work"
mkdir -p "$boot" "$work/tmp" "$images/slot"

# 1. The boot partition: firmware, device trees, U-Boot, its script. On QEMU U-Boot is given to the machine instead.
cp "$images/boot.scr" "$boot/"
if [ -d "$images/rpi-firmware" ]; then
	cp -r "$images/rpi-firmware/." "$boot/"
	cp "$images/u-boot.bin" "$boot/"
	cp "$images"/*.dtb "$boot/"
	mkdir -p "$boot/overlays"
	for source in "$here"/overlays/*.dts; do
		"$HOST_DIR/bin/dtc" -q -@ -I dts -O dtb -o "$boot/overlays/$(basename "$source" .dts).dtbo" "$source"
	done
	radio=
	[ "$(setting BR2_HALOW_RADIO_MORSE_SPI)" != y ] || radio=halow-morse-spi
	[ "$(setting BR2_HALOW_RADIO_MORSE_SDIO)" != y ] || radio=halow-morse-sdio
	[ "$(setting BR2_HALOW_RADIO_NEWRACOM_SPI)" != y ] || radio=halow-newracom-spi
	if [ -n "$radio" ]; then
		printf '# The radio; for other pins add dtparam= lines below (board/common/overlays)\ndtoverlay=%s\n' "$radio" >> "$boot/config.txt"
	fi
fi
cp "$here/README-boot.txt" "$boot/README.txt"

# 2. Both slots' kernel, and a state that the boot script finds empty: it starts with A.
echo "slot_args=quiet" > "$images/slot/boot.env"
rm -f "$images/bootstate.img"
truncate -s 32K "$images/bootstate.img"

# 3. The card.
genimage --rootpath "$boot" --tmppath "$work/tmp" --inputpath "$images" --outputpath "$images" --config "$here/genimage.cfg"

# 4. The update.
key=$(setting BR2_HALOW_RAUC_KEY)
certificate=$(setting BR2_HALOW_RAUC_CERT)
bundle=$images/halow-gateway-$board.raucb
rm -f "$bundle"
if [ -z "$key" ]; then
	echo "post-image: no update bundle is made: RAUC_KEY names no key"
	exit 0
fi
[ -n "$certificate" ] || stop "RAUC_KEY is set and RAUC_CERT is not"
mkdir "$work/bundle"
cp "$images/rootfs.squashfs" "$work/bundle/rootfs.img"
cp "$images/kernel.vfat" "$work/bundle/kernel.img"
version=$(sed -n 's/^BUILD_ID=//p' "$TARGET_DIR/usr/lib/os-release")
cat > "$work/bundle/manifest.raucm" <<EOM
[update]
compatible=halow-gateway-$board
version=$version

[bundle]
format=verity

[image.rootfs]
filename=rootfs.img

[image.kernel]
filename=kernel.img
EOM
rauc bundle --cert="$certificate" --key="$key" --keyring="$(setting BR2_HALOW_RAUC_KEYRING)" "$work/bundle" "$bundle"

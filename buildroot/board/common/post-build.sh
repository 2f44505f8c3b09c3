#!/bin/sh
# Runs on the target's tree before its squashfs is made: what differs from build to build and stands in no overlay.
# Called by Buildroot with the tree; BR2_CONFIG is its configuration.
set -eu
target=$1
here=$(dirname "$0")
share=$target/usr/share/halow-gateway/radio

setting() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$BR2_CONFIG"; }
stop() { echo "post-build: $*" >&2; exit 1; }

board=$(setting BR2_HALOW_BOARD)
[ -n "$board" ] || stop "BR2_HALOW_BOARD is empty"

# 1. Which boards an update is for, and whose signature it must bear.
sed -i "s/@BOARD@/$board/" "$target/etc/rauc/system.conf"
install -D -m 0644 "$(setting BR2_HALOW_RAUC_KEYRING)" "$target/etc/rauc/keyring.pem"
if grep -q "PRIVATE KEY" "$target/etc/rauc/keyring.pem"; then
	rm -f "$target/etc/rauc/keyring.pem"
	stop "RAUC_KEYRING holds a private key; only the certificate may be in the image"
fi

# 2. Which build this is. halow-gateway-health.service asks of each build that it prove itself, so two builds never share an id.
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$here/../../../edge/__init__.py")
commit=$(git -C "$here" describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
build=${HALOW_BUILD_ID:-$version-$commit-$(cksum < "$BR2_CONFIG" | cut -d' ' -f1)}
release=$target/usr/lib/os-release
sed -i '/^\(BUILD_ID\|IMAGE_ID\|IMAGE_VERSION\)=/d' "$release"
printf 'IMAGE_ID=halow-gateway-%s\nIMAGE_VERSION=%s\nBUILD_ID=%s\n' "$board" "$version" "$build" >> "$release"

# 3. Mount points and what a read-only /etc must already hold. An empty machine-id gets a new value at each start, in memory.
mkdir -p "$target/data" "$target/etc/halow-gateway"
: > "$target/etc/machine-id"

# 4. What the driver is told when it is loaded. The country's parameter stands in the overlay's own table.
parameters() { # VENDOR: of the country; nothing where the vendor has none
	country=$(setting BR2_HALOW_RADIO_COUNTRY)
	line=$(awk -F '\t' -v country="$country" '$1 == country' "$share/$1/countries.tsv")
	[ -n "$line" ] || stop "COUNTRY=$country stands not in usr/share/halow-gateway/radio/$1/countries.tsv"
	plan=$(printf '%s\n' "$line" | cut -f2)
	[ "$plan" != - ] || stop "COUNTRY=$country: $(printf '%s\n' "$line" | cut -f5)"
	printf '%s\n' "$line" | cut -f4 | sed 's/^-$//'
}
file=$target/usr/lib/modprobe.d/halow-radio.conf
# Loaded by name: a radio on SPI announces itself by no name that the vendors' modules list.
load=$target/usr/lib/modules-load.d/halow-radio.conf
mkdir -p "$(dirname "$file")" "$(dirname "$load")"
boardfile=$(setting BR2_HALOW_RADIO_BOARD_FILE)
if [ "$(setting BR2_HALOW_RADIO_MORSE)" = y ]; then
	country=$(parameters morse)
	# enable_ps=0: power saving delays idle links by some 100 ms and a gateway has mains. The driver's own watchdog is off unless asked for.
	echo "options morse $country enable_ps=0 enable_watchdog=Y${boardfile:+ bcf=$boardfile}" > "$file"
	echo morse > "$load"
elif [ "$(setting BR2_HALOW_RADIO_NEWRACOM)" = y ]; then
	country=$(parameters newracom)
	# GPIO 5 is the interrupt (overlay halow-newracom-spi); power_save=0 as above.
	echo "options nrc fw_name=uni_s1g.bin hifspeed=20000000 spi_bus_num=0 spi_cs_num=0 spi_gpio_irq=5 power_save=0${country:+ $country}${boardfile:+ bd_name=$boardfile}" > "$file"
	echo nrc > "$load"
else
	rm -f "$file" "$load"
fi

# U-Boot script of every board: chooses the slot, counts its attempts down, starts its kernel.
#
#   bootstate   raw partition: U-Boot environment (CRC-32, 4 KiB) at 0, a second copy of it at 16 KiB
#   BOOT_ORDER  slots in the order in which they are tried, set by RAUC ("A B")
#   BOOT_x_LEFT attempts left; counted down here, set back by `rauc status mark-good` when the gateway is ready
#
# RAUC writes the first copy only, in place. A power cut there costs the first copy; the second then says what was true at
# the last start. Here the second is written first, so that one of the two is whole at any moment.
#
# The distro boot of U-Boot hands over devtype, devnum (mmc 0, virtio 0 ...), kernel_addr_r, ramdisk_addr_r, scriptaddr, fdt_addr.
# Every number below is hexadecimal, as setexpr, load and the block commands read it.
# No apostrophe may stand outside a comment: this shell takes it for a quote even between double quotes.

# 512 KiB behind this script: below the kernel on QEMU (40400000), above it on the Raspberry Pi, whose kernel ends below
# scriptaddr. All that is done in it is done before the kernel is loaded.
setexpr state_addr ${scriptaddr} + 80000
setenv state_names "BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT"
setenv state_at
setenv slot
setenv known
setenv extra_args
setenv slot_args
setenv firmware_args

${devtype} dev ${devnum}

# 1. The state: first copy, second copy, or what a new board has.
if part start ${devtype} ${devnum} bootstate state_block; then
	setexpr state_block_2 ${state_block} + 20
	for block in ${state_block} ${state_block_2}; do
		if test -z "${state_at}"; then
			if ${devtype} read ${state_addr} ${block} 8; then
				if env import -c ${state_addr} 1000 ${state_names}; then
					setenv state_at ${block}
				fi
			fi
		fi
	done
else
	echo "slots: no partition bootstate, attempts cannot be counted"
	setenv state_block
fi
if test -z "${state_at}"; then
	echo "slots: no valid state, starting with A B and three attempts each"
	setenv BOOT_ORDER "A B"
	setenv BOOT_A_LEFT 3
	setenv BOOT_B_LEFT 3
fi

# 2. The first slot of the order that has attempts left. What is no slot is passed over.
for name in ${BOOT_ORDER}; do
	if test "${name}" = "A"; then
		setenv known 1
		if test -z "${slot}" && test 0x${BOOT_A_LEFT} -gt 0; then
			setenv slot A
		fi
	elif test "${name}" = "B"; then
		setenv known 1
		if test -z "${slot}" && test 0x${BOOT_B_LEFT} -gt 0; then
			setenv slot B
		fi
	fi
done

# All attempts used up: begin again. A board that tries for ever can be mended by a better power supply or the next update
# over its one working slot; a board that stops here cannot.
if test -z "${known}"; then
	setenv BOOT_ORDER "A B"
fi
if test -z "${slot}"; then
	echo "slots: no attempts left in order ${BOOT_ORDER}, giving each three again"
	setenv BOOT_A_LEFT 3
	setenv BOOT_B_LEFT 3
	for name in ${BOOT_ORDER}; do
		if test -z "${slot}"; then
			if test "${name}" = "A" || test "${name}" = "B"; then
				setenv slot ${name}
			fi
		fi
	done
fi

# 3. One attempt less, stored before anything of the slot is touched.
if test "${slot}" = "A"; then
	setexpr BOOT_A_LEFT 0x${BOOT_A_LEFT} - 1
	echo "slots: starting A, ${BOOT_A_LEFT} attempts left after this one"
else
	setexpr BOOT_B_LEFT 0x${BOOT_B_LEFT} - 1
	echo "slots: starting B, ${BOOT_B_LEFT} attempts left after this one"
fi
if test -n "${state_block}"; then
	if env export -c -s 1000 ${state_addr} ${state_names}; then
		${devtype} write ${state_addr} ${state_block_2} 8
		${devtype} write ${state_addr} ${state_block} 8
	fi
fi

# 4. Kernel arguments: the firmware's own (on the Raspberry Pi cmdline.txt and what the firmware adds), the slot's
# (boot.env in its kernel partition, slot_args=...), the integrator's (boot.env on the boot partition, extra_args=...).
# The device tree is the firmware's too, with the overlays of config.txt applied.
# fsck.repair: nobody is there to answer its questions. gpt_auto: what is mounted stands in the overlay's units, nothing else is.
setenv tree ${fdt_addr}
if fdt addr ${tree}; then
	echo "slots: device tree of the firmware"
else
	setenv tree ${fdtcontroladdr}
	fdt addr ${tree}
fi
fdt get value firmware_args /chosen bootargs

part number ${devtype} ${devnum} boot boot_part
part number ${devtype} ${devnum} kernel-${slot} kernel_part
if test -e ${devtype} ${devnum}:${boot_part} boot.env; then
	load ${devtype} ${devnum}:${boot_part} ${state_addr} boot.env
	env import -t ${state_addr} ${filesize} extra_args
fi
if test -e ${devtype} ${devnum}:${kernel_part} boot.env; then
	load ${devtype} ${devnum}:${kernel_part} ${state_addr} boot.env
	env import -t ${state_addr} ${filesize} slot_args
fi

setenv bootargs "${firmware_args} root=PARTLABEL=rootfs-${slot} rootfstype=squashfs ro rootwait panic=5 fsck.repair=yes systemd.gpt_auto=no rauc.slot=${slot} ${slot_args} ${extra_args}"

# 5. The kernel. A first root of its own (initrd) is used where the slot has one.
if load ${devtype} ${devnum}:${kernel_part} ${kernel_addr_r} Image; then
	if test -e ${devtype} ${devnum}:${kernel_part} initrd; then
		load ${devtype} ${devnum}:${kernel_part} ${ramdisk_addr_r} initrd
		booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${tree}
	else
		booti ${kernel_addr_r} - ${tree}
	fi
fi

# Whatever came back from there did not start: the attempt is counted, the next start goes on from it.
echo "slots: ${slot} cannot be started, resetting"
sleep 2
reset

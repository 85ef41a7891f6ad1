package egress

import "syscall"

// ipBindAddressNoPort is IP_BIND_ADDRESS_NO_PORT (Linux 4.2), which package
// syscall names for some architectures only.
const ipBindAddressNoPort = 24

// bindAddressOnly has bind leave the choice of the port to connect. A port
// chosen by bind is taken for all destinations: a pool of one address could
// hold some 28,000 connections in all, instead of to each destination.
func bindAddressOnly(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1) // without it bind works as ever
}

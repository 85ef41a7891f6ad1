//go:build !linux

package egress

// bindAddressOnly is for Linux; elsewhere bind chooses the port.
func bindAddressOnly(uintptr) {}

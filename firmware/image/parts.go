package main

import (
	_ "github.com/gokrazy/firmware"   // what a Pi loads before the kernel
	_ "github.com/gokrazy/kernel.rpi" // the kernel, its modules, device trees and overlays
)

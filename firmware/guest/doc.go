// Package guest runs tests in a virtual machine with a kernel of its own: for what
// the kernel of the machine at hand does not have, or must not be asked for, such as
// lines of GPIO, a watchdog that bites, and sticks that are pulled.
//
// The machine is qemu's, without KVM. Its kernel is Debian's of the backports, of
// which LabKernel brings a copy; its only program is the test itself. A test names
// a Scene, Run boots a machine in which that is the first process, and what the scene
// reports comes back as lines of JSON over the console:
//
//	func TestMain(m *testing.M) { guest.Main(m, map[string]guest.Scene{"light": light}) }
//
// A Board is another kind of machine: one that boots what lies on a Card, as the boards
// do, with the product's own kernel and init. What it says comes over its console, and
// what it serves through ports of this machine.
package guest

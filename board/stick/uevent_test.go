package stick

import (
	"strings"
	"testing"
)

func message(fields ...string) []byte { return []byte(strings.Join(fields, "\x00") + "\x00") }

const usbDisk = "/devices/platform/soc/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/sda"

func TestParseEvent(t *testing.T) {
	good := message("add@"+usbDisk+"/sda1", "ACTION=add", "DEVPATH="+usbDisk+"/sda1", "SUBSYSTEM=block", "DEVNAME=sda1", "DEVTYPE=partition", "SEQNUM=4242", "odd")
	want := Event{"add", usbDisk + "/sda1", "block", "partition", "sda1"}
	if e, ok := parseEvent(good); !ok || e != want {
		t.Errorf("%+v, %t", e, ok)
	}
	for name, bad := range map[string][]byte{
		"nothing":              {},
		"no end":               []byte("add@/devices/x"),
		"udev's":               message("libudev", "ACTION=add"),
		"out of /sys":          message("add@/devices/../../etc", "ACTION=add"),
		"elsewhere":            message("add@/etc/passwd", "ACTION=add"),
		"two actions":          message("add@/devices/x", "ACTION=remove"),
		"two paths":            message("add@/devices/x", "ACTION=add", "DEVPATH=/devices/y"),
		"a path for a name":    message("add@/devices/x", "ACTION=add", "DEVNAME=../../etc/passwd"),
		"a folder":             message("add@/devices/x", "ACTION=add", "DEVNAME=bus/usb/001/002"),
		"an action of no kind": message("ADD\x1b[2J@/devices/x"),
		"too long":             message("add@/devices/x", strings.Repeat("A=B", maxEvent)),
	} {
		if e, ok := parseEvent(bad); ok {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(message("add@"+usbDisk+"/sda1", "ACTION=add", "SUBSYSTEM=block", "DEVNAME=sda1"))
	f.Add(message("remove@/devices/virtual/block/loop0", "DEVNAME=loop0", "DEVTYPE=disk"))
	f.Add([]byte("libudev\x00\xfe\xed\xca\xfe"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, ok := parseEvent(raw)
		if !ok {
			return
		}
		if strings.Contains(e.Path, "..") && !sound(e.Path) || !strings.HasPrefix(e.Path, "/devices/") || strings.ContainsAny(e.Name, "/.\x00") || !plainWord(e.Action) {
			t.Errorf("%q gives %+v", raw, e)
		}
	})
}

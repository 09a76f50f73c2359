package uevent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// folder makes a folder as depmod leaves it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var lists = map[string]string{
	"modules.dep": "kernel/a/net-core.ko:\nkernel/a/virtio_net.ko.xz: kernel/a/net_failover.ko kernel/a/net-core.ko\nkernel/a/net_failover.ko: kernel/a/net-core.ko\n" +
		"kernel/usb/lan78xx.ko: kernel/usb/of_mdio.ko\nkernel/usb/of_mdio.ko:\nkernel/fs/ext4.ko: kernel/fs/jbd2.ko\nkernel/fs/jbd2.ko:\nkernel/lib/crc32c.ko:\nkernel/x.ko: kernel/y.ko\nkernel/y.ko: kernel/x.ko\n",
	"modules.alias": "# Aliases\nalias virtio:d00000001v* virtio_net\nalias usb:v0424p7800d*dc*dsc*dp*ic*isc*ip*in* lan78xx\n" +
		"alias of:N*T*Cbrcm,bcm2711-[a-z]* x\nalias fs-ext4 ext4\n",
	"modules.softdep": "# Soft\nsoftdep ext4 pre: crc32c post: y\n",
}

func names(paths []string) (out []string) {
	for _, p := range paths {
		out = append(out, moduleName(p))
	}
	return out
}

func TestFor(t *testing.T) {
	for _, c := range []struct {
		modalias string
		want     []string
	}{
		{"virtio:d00000001v00001AF4", []string{"net_core", "net_failover", "virtio_net"}},
		{"virtio:d00000002v00001AF4", nil},
		{"usb:v0424p7800d0300dcFFdsc00dpFFicFFisc00ipFFin00", []string{"of_mdio", "lan78xx"}},
		{"of:NdeviceT(null)Cbrcm,bcm2711-thing", []string{"y", "x"}}, // which need one another
		{"", nil}, {"usb", nil}, {"*:*", nil},
	} {
		var got []string
		m := New(func(path string) error { got = append(got, path); return nil }, nil)
		if err := m.Add(folder(t, lists)); err != nil {
			t.Fatal(err)
		}
		m.For(c.modalias)
		m.For(c.modalias)
		if !slices.Equal(names(got), c.want) {
			t.Errorf("%q: %q, want %q", c.modalias, names(got), c.want)
		}
	}
}

// TestLoad: by name, after what the module works better with; what fails keeps nothing
// else from being loaded.
func TestLoad(t *testing.T) {
	var got []string
	m := New(func(path string) error { got = append(got, path); return errors.New("exec format error") }, nil)
	if err := m.Add(folder(t, lists)); err != nil {
		t.Fatal(err)
	}
	m.Load("ext4", "nothing", "net-core")
	if want := []string{"jbd2", "crc32c", "ext4", "net_core"}; !slices.Equal(names(got), want) {
		t.Errorf("%q, want %q", names(got), want)
	}
}

// TestAll walks over devices, and finds in a second folder what was not in the first.
func TestAll(t *testing.T) {
	root := folder(t, map[string]string{
		"sys/devices/pci0/0000:00:02.0/virtio0/modalias": "virtio:d00000001v00001AF4\n",
		"sys/devices/platform/usb/1-1/modalias":          "usb:v0424p7800d0300dcFFdsc00dpFFicFFisc00ipFFin00\n",
		"sys/devices/platform/uevent":                    "",
	})
	var got []string
	m := New(func(path string) error { got = append(got, path); return nil }, nil)
	if err := errors.Join(m.Add(filepath.Join(root, "nowhere")), m.All(root)); err != nil || got != nil {
		t.Fatalf("%v, %q", err, got)
	}
	if err := errors.Join(m.Add(folder(t, lists)), m.All(root)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"net_core", "net_failover", "virtio_net", "of_mdio", "lan78xx"}; !slices.Equal(names(got), want) {
		t.Errorf("%q, want %q", names(got), want)
	}
	got = nil
	m.Device(root, "/devices/platform/usb/1-1")
	if got != nil {
		t.Errorf("again: %q", got)
	}
}

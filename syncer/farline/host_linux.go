package farline

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// New makes a line. Errors: ErrUnavailable, with the reason, where the machine
// or the user cannot have one.
func New(o Options) (_ *Line, err error) {
	l := new(Line)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.near, err = newHost(nearAddress, farAddress, o.Window); err != nil {
		return nil, fmt.Errorf("make the near end: %w", err)
	}
	if l.far, err = newHost(farAddress, nearAddress, o.Window); err != nil {
		return nil, fmt.Errorf("make the far end: %w", err)
	}
	l.out = newPipe(o, 1, func(b []byte) { l.deliver(b, l.far, l.near) })
	l.in = newPipe(o, 2, func(b []byte) { l.deliver(b, l.near, l.far) })
	l.start()
	return l, nil
}

// start begins to carry packets.
func (l *Line) start() {
	l.near.reading.Go(func() { l.near.read(l.out) })
	l.far.reading.Go(func() { l.far.read(l.in) })
	l.near.reading.Go(l.out.run)
	l.far.reading.Go(l.in.run)
}

// Close takes the line and its namespaces away. What still runs there goes on
// without a line.
func (l *Line) Close() error {
	for _, p := range []*pipe{l.out, l.in} {
		if p != nil {
			close(p.quit)
		}
	}
	var errs []error
	for _, h := range []*Host{l.near, l.far} {
		if h != nil {
			errs = append(errs, h.close())
		}
	}
	return errors.Join(errs...)
}

func (h *Host) close() error {
	close(h.quit)
	<-h.ended
	err := h.device.Close()
	h.reading.Wait()
	return err
}

// newHost makes a namespace and a device in it, and keeps a thread there.
func newHost(address, gateway netip.Addr, window int) (*Host, error) {
	h := &Host{address: address, jobs: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(h.ended)
		// Never unlocked: the thread ends with this goroutine, and nobody else
		// is ever run in the namespace.
		runtime.LockOSThread()
		err := h.enter(gateway, window)
		ready <- err
		if err != nil {
			return
		}
		for {
			select {
			case job := <-h.jobs:
				job()
			case <-h.quit:
				return
			}
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return h, nil
}

// enter takes the calling thread into a new namespace and furnishes it.
func (h *Host) enter(gateway netip.Addr, window int) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: make a network namespace: %w", ErrUnavailable, err)
	}
	// There may be no IPv6, and then it need not be silenced.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if window > 0 {
		for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
			sizes := fmt.Appendf(nil, "4096 131072 %d", window)
			if err := os.WriteFile("/proc/sys/net/ipv4/"+name, sizes, 0); err != nil {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
	}
	tun, err := openTUN("line0")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tun.Close())
		}
	}()
	if err := configure("line0", h.address, gateway); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	h.device = tun
	return nil
}

// device is a TUN device. Its file can be closed while it is being read.
type device struct {
	*os.File
	once sync.Once
}

// openTUN makes a TUN device in the namespace of the calling thread.
func openTUN(name string) (*device, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: open /dev/net/tun: %w", ErrUnavailable, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: make a TUN device: %w", ErrUnavailable, err), unix.Close(fd))
	}
	return &device{File: os.NewFile(uintptr(fd), name)}, nil
}

// Close closes the device once.
func (d *device) Close() (err error) {
	d.once.Do(func() { err = d.File.Close() })
	return err
}

// configure gives a device its address, and makes it the way to everywhere.
func configure(name string, address, gateway netip.Addr) (err error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(socket)) }()
	for _, step := range []struct {
		what, device string
		request      uint
		set          func(*unix.Ifreq) error
	}{
		{"bring up", "lo", unix.SIOCSIFFLAGS, up},
		{"set the address of", name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.AsSlice()) }},
		{"set the network of", name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.CIDRMask(prefixBits, 32)) }},
		{"set the packet size of", name, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{"bring up", name, unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(step.device)
		if err == nil {
			err = step.set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(socket, step.request, r)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", step.what, step.device, err)
		}
	}
	return defaultRoute(name, gateway)
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

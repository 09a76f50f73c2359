package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd"
	"cheeseboard/httpd/quick"
)

// grace is how long requests that are under way may go on after the signal to
// stop.
const grace = 3 * time.Second

// Serve listens, follows the upstream and answers commands until ctx ends, then
// stops in order: no new requests, those under way a few seconds, downloads
// kept where they are. ready is called with the address once it can be reached.
// The App must still be closed.
func (a *App) Serve(ctx context.Context, ready func(net.Addr)) error {
	keeper := a.startClock() // before certificates are made by it
	d, err := a.openDoors()
	if err != nil {
		return err
	}
	defer d.release()
	front := a.newFront()
	a.commands = &http.Server{Handler: a.gate.guard(a.control(time.Now())), ReadHeaderTimeout: 10 * time.Second}

	a.recallFirst() // before anybody can use it
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { keeper.Run(ctx) })
	a.startDevices(ctx, cancel, &running, d.lan.Addr())
	a.startName(ctx, &running, d.lan.Addr())
	var frontErr, secureErr, runErr error
	running.Go(func() {
		defer cancel() // without its front a box is of no use
		if err := front.Serve(d.lan); !errors.Is(err, http.ErrServerClosed) {
			frontErr = fmt.Errorf("serve: %w", err)
		}
	})
	if d.secure != nil {
		running.Go(func() {
			defer cancel()
			if err := d.tls.ServeTLS(d.secure, "", ""); !errors.Is(err, http.ErrServerClosed) {
				secureErr = fmt.Errorf("serve https: %w", err)
			}
		})
	}
	// A small board hashes it for half a second and more: who asks for a page need not wait.
	if a.fresh, err = a.firstPassphrase(); err != nil {
		a.log.Error("no passphrase for administration could be set", "reason", err)
	}
	running.Go(func() { a.rest(ctx) })
	if d.control != nil {
		running.Go(func() { serveControl(a.commands, d.control, a.log) })
	}
	running.Go(func() {
		defer cancel() // nor is one whose rooms could not be opened again
		runErr = a.keep(ctx)
	})
	if ready != nil {
		ready(d.lan.Addr())
	}
	a.panel.serves(a.scene)
	a.tellReady()
	running.Go(func() { a.report(ctx, d.lan.Addr()) })
	<-ctx.Done()
	err = a.stopServing(ctx, front, d.tls)
	running.Wait()
	a.sockets.Wait()
	a.gate.end()
	return errors.Join(err, frontErr, secureErr, runErr)
}

// stopServing takes no new requests, and gives those under way a few seconds.
func (a *App) stopServing(ctx context.Context, front *quick.Server, tls *http.Server) error {
	a.tellStopping()
	a.panel.serves(nil)
	a.log.Info("stopping")
	ctx, stopped := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stopped()
	err := shut(ctx, front)
	if tls != nil {
		err = errors.Join(err, shut(ctx, tls))
	}
	return errors.Join(err, a.commands.Close())
}

// doors are what a box listens on.
type doors struct {
	lan     net.Listener
	secure  net.Listener // nil: there is no https
	tls     *http.Server // serves it
	control net.Listener // nil: on a disk that cannot be written there is none
	release func()       // takes away what control has made
}

// openDoors listens on all of them, or on none.
func (a *App) openDoors() (d doors, err error) {
	if d.lan, err = a.listen(); err != nil {
		return d, err
	}
	if d.secure, d.tls, err = a.listenSecure(); err != nil && !a.mistaken(err) {
		return d, errors.Join(err, d.lan.Close())
	}
	d.control, d.release, err = listenControl(a.Store.Dir())
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EROFS) {
		a.log.Warn("on a disk that cannot be written other commands cannot reach this box", "reason", err)
		d.control, d.release, err = nil, func() {}, nil
	}
	if err != nil {
		if d.secure != nil {
			err = errors.Join(err, d.secure.Close())
		}
		return d, errors.Join(err, d.lan.Close())
	}
	return d, nil
}

// newFront makes what answers in clear.
func (a *App) newFront() *quick.Server {
	limits := a.config.Limits
	return quick.New(httpd.NewServer(a.Handler(), a.log, serverLimits(limits)), quick.Options{
		Gate: &a.gate, Log: a.log, Served: a.responses.Count, Most: limits.Connections, PerAddress: limits.ConnectionsPerAddress,
	})
}

func serverLimits(c config.Limits) httpd.Limits {
	return httpd.Limits{
		Header: time.Duration(c.HeaderTimeout), Idle: time.Duration(c.IdleTimeout), Send: time.Duration(c.SendTimeout),
		HeaderBytes: int(c.HeaderSize),
	}
}

// shut ends a server.
func shut(ctx context.Context, server interface {
	Shutdown(context.Context) error
	Close() error
}) error {
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // clients that are not through by now will resume
	}
	return err
}

// explainListen says what can be done about a listener; setting is what chooses
// another address.
func explainListen(setting, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: the port is in use; stop the other program, or choose another with %s", address, setting)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("listen on %s: this user may not open that port; choose one above 1023 with %s", address, setting)
	}
	return fmt.Errorf("listen on %s: %w; choose another address with %s", address, err, setting)
}

// IndexURLs lists the addresses of the index for an address that Serve listens
// on: by the names that the box is called, then by its addresses, those for this machine last.
func IndexURLs(address net.Addr, names ...string) []string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return nil
	}
	port := fmt.Sprint(tcp.Port)
	url := func(host string) string {
		if port == "80" {
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			return "http://" + host + "/simple/"
		}
		return "http://" + net.JoinHostPort(host, port) + "/simple/"
	}
	if !tcp.IP.IsUnspecified() {
		return []string{url(tcp.IP.String())}
	}
	var out []string
	for _, name := range names {
		if name != "" && !slices.Contains(out, url(name)) {
			out = append(out, url(name))
		}
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				out = append(out, url(n.IP.String()))
			}
		}
	}
	return append(out, url("localhost"))
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/storage"
)

const watchdogKey = "watchdog"

// watch keeps the hardware watchdog quiet as long as this box is of use, until ctx ends.
func (a *App) watch(ctx context.Context, address net.Addr) {
	err := watchdog.Run(ctx, watchdog.Options{
		Open: a.Watchdog, Log: a.log,
		Checks: []watchdog.Check{{Name: "request", Try: asksSelf(address)}, {Name: "store", Try: a.writesStore}},
	})
	if err != nil {
		a.log.Error("the hardware watchdog is not kept", "reason", err)
	}
}

// asksSelf asks this box how it is, as others do: over the network, by the same
// listener.
func asksSelf(address net.Addr) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // by no proxy
	host := "127.0.0.1"
	port := 0
	if tcp, ok := address.(*net.TCPAddr); ok {
		port = tcp.Port
		if !tcp.IP.IsUnspecified() {
			host = tcp.IP.String()
		}
	}
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/healthz"
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		// Where readers need a token, that is asked for: somebody is there.
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("ask %s: it answers %s", url, resp.Status)
		}
		return nil
	}
}

// writesStore writes a small value, through all that stands between here and the card.
// A full disk is no reason to restart a machine.
func (a *App) writesStore(ctx context.Context) error {
	_, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if a.Store.ReadOnly() {
		return nil
	}
	err = a.Store.SetValue(watchdogKey, []byte(time.Now().UTC().Format(time.RFC3339)))
	if errors.Is(err, storage.ErrFull) {
		return nil
	}
	return err
}

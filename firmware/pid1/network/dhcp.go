package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// Asker asks for addresses. Its methods end with their context, or when nobody has
// answered for a while; a *nclient4.ErrNak says that a server wants it otherwise.
type Asker interface {
	// Ask asks all servers for an address.
	Ask(ctx context.Context) (*dhcpv4.DHCPv4, error)
	// Confirm asks all servers whether an address from before a pause still holds
	// (INIT-REBOOT).
	Confirm(ctx context.Context, last *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error)
	// Renew asks the server that gave it, or, with all, any.
	Renew(ctx context.Context, last *dhcpv4.DHCPv4, all bool) (*dhcpv4.DHCPv4, error)
}

// wire asks over an interface.
type wire struct {
	name string        // of the interface
	host func() string // what this machine calls itself
	wait time.Duration // for the first answer; doubled for the second try
}

// firstWait is how long the first answer is waited for: two tries take thrice that.
const firstWait = 2 * time.Second

func (w *wire) client(options ...nclient4.ClientOpt) (*nclient4.Client, error) {
	c, err := nclient4.New(w.name, append([]nclient4.ClientOpt{nclient4.WithTimeout(w.wait), nclient4.WithRetry(2)}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("ask for an address on %s: %w", w.name, err)
	}
	return c, nil
}

// wishes is what each message asks for, and says of this machine.
func (w *wire) wishes() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName,
			dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionNTPServers, dhcpv4.OptionHostName, dhcpv4.OptionClasslessStaticRoute),
		dhcpv4.WithOption(dhcpv4.OptHostName(w.host())),
	}
}

// Ask implements Asker.
func (w *wire) Ask(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	c, err := w.client()
	if err != nil {
		return nil, err
	}
	lease, err := c.Request(ctx, w.wishes()...)
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, fmt.Errorf("ask for an address on %s: %w", w.name, err)
	}
	return lease.ACK, nil
}

// Confirm implements Asker.
func (w *wire) Confirm(ctx context.Context, last *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	c, err := w.client()
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.New(dhcpv4.PrependModifiers(w.wishes(), dhcpv4.WithHwAddr(c.InterfaceAddr()), dhcpv4.WithBroadcast(true),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(last.YourIPAddr)))...)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return w.answer(ctx, c, request, nclient4.DefaultServers)
}

// Renew implements Asker.
func (w *wire) Renew(ctx context.Context, last *dhcpv4.DHCPv4, all bool) (*dhcpv4.DHCPv4, error) {
	request, err := dhcpv4.NewRenewFromAck(last, w.wishes()...)
	if err != nil {
		return nil, err
	}
	if server := last.ServerIdentifier(); !all && server != nil && !server.IsUnspecified() {
		// By unicast, from the address itself (RFC 2131, 4.3.6): no raw socket, which hears
		// all that passes.
		c, err := w.client(nclient4.WithUnicast(&net.UDPAddr{IP: last.YourIPAddr, Port: nclient4.ClientPort}))
		if err != nil {
			return nil, err
		}
		return w.answer(ctx, c, request, &net.UDPAddr{IP: server, Port: nclient4.ServerPort})
	}
	c, err := w.client()
	if err != nil {
		return nil, err
	}
	return w.answer(ctx, c, request, nclient4.DefaultServers)
}

// answer sends a request, takes what any server answers, and closes the client.
func (w *wire) answer(ctx context.Context, c *nclient4.Client, request *dhcpv4.DHCPv4, to *net.UDPAddr) (*dhcpv4.DHCPv4, error) {
	got, err := c.SendAndRead(ctx, to, request, nclient4.IsMessageType(dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak))
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, fmt.Errorf("ask for an address on %s: %w", w.name, err)
	}
	if got.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("ask for an address on %s: %w", w.name, &nclient4.ErrNak{Offer: request, Nak: got})
	}
	return got, nil
}

// refused tells whether a server said no; else nobody answered, or the line is bad.
func refused(err error) bool {
	nak := (*nclient4.ErrNak)(nil)
	return errors.As(err, &nak)
}

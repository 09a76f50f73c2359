package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// sizeARP is the length of an ARP message for Ethernet and IPv4.
const sizeARP = 28

// marshal writes a message.
func (m ARP) marshal() []byte {
	b := make([]byte, sizeARP)
	copy(b, []byte{0, 1, 8, 0, 6, 4, 0, 2}) // Ethernet, IPv4, their lengths, a reply
	if m.Request {
		b[7] = 1
	}
	copy(b[8:14], m.MAC)
	sender, target := m.Sender.As4(), m.Target.As4()
	copy(b[14:18], sender[:])
	copy(b[24:28], target[:])
	return b
}

// parseARP reads a message; false where it is none of Ethernet and IPv4.
func parseARP(b []byte) (ARP, bool) {
	if len(b) < sizeARP || binary.BigEndian.Uint64(b)>>16 != 0x000108000604 {
		return ARP{}, false
	}
	operation := binary.BigEndian.Uint16(b[6:])
	if operation != 1 && operation != 2 {
		return ARP{}, false
	}
	return ARP{
		Request: operation == 1, MAC: append(net.HardwareAddr{}, b[8:14]...),
		Sender: netip.AddrFrom4([4]byte(b[14:18])), Target: netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// ether is an interface.
type ether struct {
	conn  *packet.Conn
	heard chan ARP
	done  chan struct{}
}

// openEther listens on an interface until it is closed.
func openEther(name string) (*ether, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("listen for ARP: %w", err)
	}
	conn, err := packet.Listen(i, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, fmt.Errorf("listen for ARP on %s: %w", name, err)
	}
	e := &ether{conn, make(chan ARP), make(chan struct{})}
	go e.listen()
	return e, nil
}

func (e *ether) listen() {
	defer close(e.heard)
	b := make([]byte, 1500)
	for {
		n, _, err := e.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if m, ok := parseARP(b[:n]); ok {
			select {
			case e.heard <- m:
			case <-e.done:
				return
			}
		}
	}
}

// Heard implements Ether.
func (e *ether) Heard() <-chan ARP { return e.heard }

// Send implements Ether: to all on the link.
func (e *ether) Send(m ARP) error {
	_, err := e.conn.WriteTo(m.marshal(), &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	return err
}

// Close ends the listening, and returns when it has ended.
func (e *ether) Close() error {
	close(e.done)
	err := e.conn.Close()
	for range e.heard { // until it is closed
	}
	return err
}

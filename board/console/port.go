package console

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.bug.st/serial"
)

// readPatience is how long a Read waits: so long it takes to see that a console is to
// end. It cannot be woken safely otherwise, see Console.talk.
const readPatience = time.Second

// OpenSerial opens a serial port with 115200 baud, 8 bits, no parity and one stop bit.
// fs.ErrPermission where this process may not.
func OpenSerial(path string) (Port, error) {
	port, err := serial.Open(path, &serial.Mode{BaudRate: 115200, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	var refused *serial.PortError
	if errors.As(err, &refused) && refused.Code() == serial.PermissionDenied {
		err = fs.ErrPermission
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := port.SetReadTimeout(readPatience); err != nil {
		_ = port.Close() // it is of no use
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return line{port}, nil
}

// line is a port of the serial library.
type line struct{ serial.Port }

// Flush implements Port.
func (l line) Flush() error { return l.ResetOutputBuffer() }

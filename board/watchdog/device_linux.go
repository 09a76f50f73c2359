package watchdog

import "github.com/mdlayher/watchdog"

// OpenDevice opens /dev/watchdog, which arms it. fs.ErrNotExist: there is none. Close
// disarms it (magic close), unless the driver was built never to stop.
func OpenDevice() (Device, error) {
	d, err := watchdog.Open()
	if err != nil {
		return nil, err
	}
	return d, nil
}

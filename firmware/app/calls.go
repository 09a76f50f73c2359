package app

import (
	"context"
	"errors"
	"sync"
)

// errClosed is what a call gets whose data folder is closed for good.
var errClosed = errors.New("this cheeseboard has closed its data folder")

// calls counts what is under way of an App's own methods: the folder must not be
// closed under them, whoever called, over the control socket or in this process.
// They are counted apart from the requests at the gate, since one that came over
// the socket is inside there as well, and since who asks for the folder to be
// closed is such a request himself. The zero value lets calls begin.
type calls struct {
	mu    sync.Mutex
	shut  chan struct{} // closed when calls may begin again; nil: they may
	down  bool          // for good
	under sync.WaitGroup
}

// begin waits until calls may begin, and counts one in. Its error is that of ctx,
// or errClosed. A call must not begin another.
func (c *calls) begin(ctx context.Context) (end func(), err error) {
	for {
		end, wait := c.try()
		switch {
		case end != nil:
			return end, nil
		case wait == nil:
			return nil, errClosed
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try is begin for those who do not wait: a nil end says that no call may begin
// now, and wait, when to try again; nil for never.
func (c *calls) try() (end func(), wait <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down || c.shut != nil {
		return nil, c.shut
	}
	c.under.Add(1)
	return sync.OnceFunc(c.under.Done), nil
}

// close has new calls wait, and waits until none is under way. They must have been
// told to end.
func (c *calls) close() {
	c.mu.Lock()
	if c.shut == nil {
		c.shut = make(chan struct{})
	}
	c.mu.Unlock()
	c.under.Wait()
}

// open lets those begin that wait.
func (c *calls) open() { c.change(false) }

// end refuses new calls for good, and waits until none is under way.
func (c *calls) end() {
	c.change(true)
	c.under.Wait()
}

func (c *calls) change(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = c.down || down
	if c.shut != nil {
		close(c.shut)
		c.shut = nil
	}
}

// enter begins a call. The context that it gives ends with ctx, and when the rooms
// are to be closed.
func (a *App) enter(ctx context.Context) (context.Context, func(), error) {
	leave, err := a.calls.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	return ctx, func() { stop(); cancel(); leave() }, nil
}

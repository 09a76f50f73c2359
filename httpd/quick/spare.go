package quick

// spare keeps a few buffers for whoever needs one for a moment. Unlike a sync.Pool it
// does not give them up when memory is short: that would have them made anew all the
// time just then.
type spare[T any] struct {
	kept  chan T
	fresh func() T
}

// spares is how many buffers of a kind are kept; more than that are in use only where
// writing has to wait for clients.
const spares = 64

func newSpare[T any](fresh func() T) spare[T] { return spare[T]{make(chan T, spares), fresh} }

func (s spare[T]) get() T {
	select {
	case b := <-s.kept:
		return b
	default:
		return s.fresh()
	}
}

func (s spare[T]) put(b T) {
	select {
	case s.kept <- b:
	default: // there are enough
	}
}

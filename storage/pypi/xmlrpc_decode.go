package pypi

import (
	"fmt"
	"io"
)

// DecodeFeedSerial reads the answer to MethodLastSerial. The error is a *Fault,
// wraps ErrNotXMLRPC, or is that of r.
func DecodeFeedSerial(r io.Reader) (int64, error) {
	x := newXMLReader(r)
	var serial int64
	err := x.response(func() error {
		v, err := x.value(nil, nil)
		if err == nil && (v.kind != xmlInt || v.number < 0) {
			err = x.bad("a serial that is none")
		}
		serial = v.number
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("decode last serial: %w", err)
	}
	return serial, nil
}

// DecodeFeedChanges reads the answer to MethodSinceSerial as it streams by, and
// hands each row to yield in the order of the answer, which is that of the
// serials. A row that does not say which project changed is skipped and counted.
//
// The error is a *Fault, wraps ErrNotXMLRPC, or is that of r; an error of yield
// is returned as it is. The summary stands for what was read, also with an error.
func DecodeFeedChanges(r io.Reader, yield func(Change) error) (FeedSummary, error) {
	d := feedChanges{xmlReader: newXMLReader(r), yield: yield}
	err := d.response(func() error {
		v, err := d.value(d.row, nil)
		if err == nil && v.kind != xmlArray {
			err = d.bad("the answer is no array of changes")
		}
		return err
	})
	switch {
	case d.stopped != nil:
		return d.sum, d.stopped
	case err != nil:
		return d.sum, fmt.Errorf("decode changes: %w", err)
	}
	return d.sum, nil
}

type feedChanges struct {
	*xmlReader
	yield   func(Change) error
	stopped error // what yield returned
	sum     FeedSummary
}

// row takes one change: name, version, time, action, serial.
func (d *feedChanges) row() error {
	var c Change
	column := 0
	_, err := d.value(func() error {
		v, err := d.value(nil, nil)
		switch {
		case err != nil:
			return err
		case column == 0 && v.kind == xmlString:
			c.Name, _ = ParseName(string(d.buf)) // "" where it is none
		case column == 1 && v.kind == xmlString:
			c.Version = string(d.buf)
		case column == 2 && v.kind == xmlInt:
			c.Timestamp = v.number
		case column == 3 && v.kind == xmlString:
			c.Action = string(d.buf)
		case column == 4 && v.kind == xmlInt:
			c.Serial = v.number
		}
		column++
		return nil
	}, nil)
	if err != nil {
		return err
	}
	d.sum.Rows++
	d.sum.Last = max(d.sum.Last, c.Serial)
	if c.Name == "" || c.Serial <= 0 {
		d.sum.Skipped++
		return nil
	}
	d.stopped = d.yield(c)
	return d.stopped
}

// DecodeFeedList reads the answer to MethodListSerials as it streams by, and
// hands each project to yield. A member whose name or serial is none is skipped
// and counted; a name may come twice. The answer has no order and states no
// highest serial of its own: LastSerial is the highest of the projects.
//
// The error is a *Fault, wraps ErrNotXMLRPC, or is that of r; an error of yield
// is returned as it is. The entries were handed on before the answer was known
// to be whole.
func DecodeFeedList(r io.Reader, yield func(ListEntry) error) (ListSummary, error) {
	x := newXMLReader(r)
	var sum ListSummary
	var stopped error
	err := x.response(func() error {
		v, err := x.value(nil, func(key string) error {
			v, err := x.value(nil, nil)
			if err != nil {
				return err
			}
			name, nameErr := ParseName(key)
			if nameErr != nil || v.kind != xmlInt || v.number < 0 {
				sum.Skipped++
				return nil
			}
			sum.Projects++
			sum.LastSerial = max(sum.LastSerial, v.number)
			stopped = yield(ListEntry{Name: name, Serial: v.number})
			return stopped
		})
		if err == nil && v.kind != xmlStruct {
			err = x.bad("the answer is no struct of projects")
		}
		return err
	})
	switch {
	case stopped != nil:
		return sum, stopped
	case err != nil:
		return sum, fmt.Errorf("decode list of projects: %w", err)
	}
	return sum, nil
}

// response takes a whole answer; result takes its value.
func (x *xmlReader) response(result func() error) error {
	if err := x.enter("methodResponse"); err != nil {
		return err
	}
	kind, err := x.next()
	switch {
	case err != nil:
		return err
	case kind == "fault":
		return x.fault()
	case kind != "params":
		return x.bad("%.40q where the answer belongs", kind)
	}
	if err := x.enter("param"); err != nil {
		return err
	}
	if err := x.enter("value"); err != nil {
		return err
	}
	if err := result(); err != nil {
		return err
	}
	if err := x.leave(3); err != nil {
		return err
	}
	return x.end()
}

// fault takes a fault and returns it as the error.
func (x *xmlReader) fault() error {
	if err := x.enter("value"); err != nil {
		return err
	}
	var f Fault
	coded := false
	_, err := x.value(nil, func(key string) error {
		v, err := x.value(nil, nil)
		switch {
		case err != nil:
			return err
		case key == "faultCode" && v.kind == xmlInt:
			f.Code, coded = v.number, true
		case key == "faultString" && v.kind == xmlString:
			f.Text = string(x.buf)
		}
		return nil
	})
	if err == nil && !coded {
		err = x.bad("a fault without a code")
	}
	if err == nil {
		err = x.leave(2)
	}
	if err == nil {
		err = x.end()
	}
	if err != nil {
		return err
	}
	return &f
}

// DecodeFeedCall reads a request of any method. The error wraps ErrNotXMLRPC,
// or is that of r, which the caller must have bounded.
func DecodeFeedCall(r io.Reader) (FeedCall, error) {
	x := newXMLReader(r)
	c, err := x.call()
	if err != nil {
		return FeedCall{}, fmt.Errorf("decode call: %w", err)
	}
	return c, nil
}

func (x *xmlReader) call() (c FeedCall, err error) {
	if err := x.enter("methodCall"); err != nil {
		return c, err
	}
	if err := x.enter("methodName"); err != nil {
		return c, err
	}
	if _, err := x.text(false); err != nil {
		return c, err
	}
	c.Method = string(x.buf)
	name, err := x.next()
	switch {
	case err != nil:
		return c, err
	case name == "": // a call without params may leave them out
		return c, x.end()
	case name != "params":
		return c, x.bad("<%.40s> where <params> belongs", name)
	}
	for {
		name, err := x.next()
		switch {
		case err != nil:
			return c, err
		case name == "":
			if err := x.leave(1); err != nil {
				return c, err
			}
			return c, x.end()
		case name != "param" || len(c.Params) == maxXMLParams:
			return c, x.bad("<%.40s> among the params, or too many of them", name)
		}
		if err := x.enter("value"); err != nil {
			return c, err
		}
		v, err := x.value(nil, nil)
		if err != nil {
			return c, err
		}
		c.Params = append(c.Params, FeedParam{Int: v.number, IsInt: v.kind == xmlInt})
		if err := x.leave(1); err != nil {
			return c, err
		}
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// What pip says with each request, and what it says to get a page.
var (
	agent = `User-Agent: pip/25.3 {"ci":null,"cpu":"aarch64","distro":{"id":"bookworm","libc":{"lib":"glibc","version":"2.36"},"name":"Debian GNU/Linux"},"implementation":{"name":"CPython","version":"3.11.2"},"installer":{"name":"pip","version":"25.3"},"openssl_version":"OpenSSL 3.0.17 1 Jul 2025","python":"3.11.2","system":{"name":"Linux","release":"6.12.34"}}`

	accept   = []string{agent, "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", "Cache-Control: max-age=0"}
	packing  = "Accept-Encoding: gzip, deflate"
	identity = "Accept-Encoding: identity"
)

func cutHeader(line string) (name, value string) {
	name, value, _ = strings.Cut(line, ": ")
	return name, value
}

// row is one thing that is asked for.
type row struct {
	name, key string
	load      load
	// etags are those of the two servers, for a question whether something has
	// changed; "" asks for the body.
	boxTag, nginxTag string
	bulk             bool // bytes a second count, not requests

	box, nginx []outcome // by round
}

func (b *bench) rows(ctx context.Context) ([]*row, error) {
	pages := append(append([]string(nil), accept...), packing)
	plain := append(append([]string(nil), accept...), identity)
	files := []string{agent, identity}
	page := func(project string) string { return "/simple/" + project + "/" }
	all := []*row{
		{name: "page of 10 files, gzip", key: "page10", load: load{path: page(small), headers: pages}},
		{name: "page of 10 files, identity", key: "page10_identity", load: load{path: page(small), headers: plain}},
		{name: "page of 3,000 files, gzip", key: "page3000", load: load{path: page(large), headers: pages}},
		{name: "page of 3,000 files, identity", key: "page3000_identity", load: load{path: page(large), headers: plain}},
		{name: "304", key: "304", load: load{path: page(small), headers: pages}},
		{name: "root list, gzip", key: "root", load: load{path: "/simple/", headers: pages}},
		{name: "root list, identity", key: "root_identity", load: load{path: "/simple/", headers: plain}},
		{name: "metadata of 5 KB", key: "metadata", load: load{path: b.index.last[small] + ".metadata", headers: files}},
		{name: "file of 100 MB, 1 client", key: "file1", load: load{path: b.index.last[heavy], headers: files, connections: 1}, bulk: true},
		{name: "file of 100 MB, 32 clients", key: "file32", load: load{path: b.index.last[heavy], headers: files, connections: 32}, bulk: true},
	}
	var rows []*row
	for _, r := range all {
		if !strings.Contains(r.name, b.match) {
			continue
		}
		r.load.seconds = b.seconds
		if r.bulk {
			r.load.seconds = max(2, b.seconds)
		}
		if r.load.connections == 0 {
			r.load.connections = b.connections
		}
		if err := b.compare(ctx, r); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row has %q in its name", b.match)
	}
	return rows, nil
}

// compare makes sure that both servers give the same bytes for a row, and learns
// their entity tags for the one that needs them.
func (b *bench) compare(ctx context.Context, r *row) error {
	ours, header, err := fetch(ctx, b.box.root+r.load.path, r.load.headers...)
	if err != nil {
		return err
	}
	theirs, theirHeader, err := fetch(ctx, b.nginx.root+r.load.path, r.load.headers...)
	if err != nil {
		return err
	}
	if r.key == "304" {
		r.boxTag, r.nginxTag = header.Get("ETag"), theirHeader.Get("ETag")
	}
	if b.against != "" {
		return nil // its store has serials of its own
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Length"} {
		if header.Get(name) != theirHeader.Get(name) {
			return fmt.Errorf("%s: %s is %q here and %q at nginx", r.name, name, header.Get(name), theirHeader.Get(name))
		}
	}
	if !bytes.Equal(ours, theirs) {
		return fmt.Errorf("%s: nginx gives other bytes", r.name)
	}
	return nil
}

// turns asks both servers, one after the other, in all rows and rounds.
func (b *bench) turns(ctx context.Context, rows []*row) error {
	for round := range b.rounds {
		say("round %d of %d", round+1, b.rounds)
		for _, r := range rows {
			ours, err := r.ask(ctx, b.box, r.boxTag)
			if err != nil {
				return err
			}
			theirs, err := r.ask(ctx, b.nginx, r.nginxTag)
			if err != nil {
				return err
			}
			r.box, r.nginx = append(r.box, ours), append(r.nginx, theirs)
		}
	}
	return nil
}

func (r *row) ask(ctx context.Context, s *server, tag string) (outcome, error) {
	l := r.load
	if tag != "" {
		l.headers = append(append([]string(nil), l.headers...), "If-None-Match: "+tag)
		if body, _, err := fetch(ctx, s.root+l.path, l.headers...); err != nil || len(body) > 0 {
			return outcome{}, fmt.Errorf("%s does not answer 304 to its own tag %s: %w", s.name, tag, err)
		}
	}
	return l.run(ctx, s)
}

// speed is what counts in a row.
func (r *row) speed(o outcome) float64 {
	if r.bulk {
		return o.bytes
	}
	return o.rate
}

// cost is the time of processor that counts in a row, in seconds: for 10,000
// requests, or for 10 GB.
func (r *row) cost(o outcome) float64 {
	if r.bulk {
		return o.processor.Seconds() / o.read * 1e10
	}
	return o.processor.Seconds() / o.requests * 10_000
}

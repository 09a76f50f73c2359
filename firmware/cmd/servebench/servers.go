package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
)

// server is one of those that are compared.
type server struct {
	name string
	root string // http://host:port
	pids []int
	cmd  *exec.Cmd
}

// stop asks the server to end, and waits for it.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// fillStore gives a data folder the projects of the root list. What is asked for
// comes from the index, as in life.
func fillStore(dir string, projects int) error {
	store, err := storage.Open(dir, storage.Options{Reserve: -1})
	if err != nil {
		return err
	}
	const group = 500
	for from := 0; from < projects && err == nil; from += group {
		var updates []storage.Update
		for n := from; n < min(from+group, projects); n++ {
			updates = append(updates, storage.Update{Project: &pypi.Project{Name: pypi.Name(fmt.Sprintf("filler-%x-%05d", uint32(n)*2654435761, n))}})
		}
		err = errors.Join(store.PutProjects(updates)...)
	}
	return errors.Join(err, store.Close())
}

// startBox runs cheeseboard as a person would.
func startBox(ctx context.Context, program, dir, upstream string) (*server, error) {
	cmd := exec.CommandContext(ctx, program, "serve", "--data", dir, "--listen", "127.0.0.1:0",
		"--set", "upstream.url="+upstream+"/simple/", "--set", "storage.reserve=0", "--log-level", "warn")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: "cheeseboard", cmd: cmd, pids: []int{cmd.Process.Pid}}
	says := bufio.NewReader(out)
	for s.root == "" {
		line, err := says.ReadString('\n')
		if err != nil {
			return nil, errors.Join(fmt.Errorf("wait for cheeseboard's address: %w", err), cmd.Wait())
		}
		_, at, _ := strings.Cut(strings.TrimSpace(line), "index: ")
		s.root = strings.TrimSuffix(at, "/simple/")
	}
	return s, nil
}

// nginxConfig is how somebody sets nginx up who wants it fast: the kernel sends
// files that stay open, and pages lie there compressed.
var nginxConfig = template.Must(template.New("nginx").Parse(`
daemon off;
worker_processes 2;
pid {{.Folder}}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 20000;
events { worker_connections 8192; multi_accept on; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	tcp_nodelay on;
	keepalive_timeout 75s;
	keepalive_requests 100000000;
	open_file_cache max=20000 inactive=10m;
	open_file_cache_valid 10m;
	open_file_cache_min_uses 1;
	server_tokens off;
	client_body_temp_path {{.Folder}}/body;
	proxy_temp_path {{.Folder}}/proxy;
	fastcgi_temp_path {{.Folder}}/fastcgi;
	uwsgi_temp_path {{.Folder}}/uwsgi;
	scgi_temp_path {{.Folder}}/scgi;
	server {
		listen {{.Address}} backlog=4096;
		root {{.Folder}}/tree;
		types { }
		location /simple/ {
			index index.json;
			default_type application/vnd.pypi.simple.v1+json;
			gzip_static on;
			add_header Cache-Control no-cache;
			add_header Vary "Accept, Accept-Encoding";
		}
		location /files/ {
			default_type application/octet-stream;
			add_header Cache-Control "public, max-age=365000000, immutable";
		}
	}
}
`))

// startNginx runs nginx over a tree of files, as Debian has it.
func startNginx(ctx context.Context, folder string) (*server, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, fmt.Errorf("%w: install it, e.g. with apt-get install nginx-light", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := nginxConfig.Execute(&text, map[string]string{"Folder": folder, "Address": address}); err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "-p", folder, "-c", config, "-e", "stderr")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: "nginx", root: "http://" + address, cmd: cmd}
	err = waitFor(ctx, func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if s.pids, err = family(cmd.Process.Pid); err == nil && len(s.pids) != 3 {
			err = fmt.Errorf("nginx runs with %d workers instead of 2", len(s.pids)-1)
		}
		return errors.Join(err, c.Close())
	})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// freeAddress is one that nobody listens on at this moment: nginx takes no port 0.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitFor returns once something is so.
func waitFor(ctx context.Context, is func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := is()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		}
	}
}

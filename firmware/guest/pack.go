package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// pack writes the file system of the machine: this program as its init, the modules
// and the order in which they are loaded, and the files.
func (m Machine) pack(ctx context.Context, kernel Kernel, initramfs string) error {
	root := initramfs + ".d"
	if err := os.MkdirAll(filepath.Join(root, "modules"), 0o755); err != nil {
		return err
	}
	self, err := staticSelf(ctx, filepath.Dir(initramfs))
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join(root, "init"), self, 0o755); err != nil {
		return err
	}
	modules, err := kernel.Modules(m.Modules...)
	if err != nil {
		return err
	}
	var order []string
	for _, module := range modules {
		name := strings.TrimSuffix(path.Base(module), ".xz")
		if err := unxz(ctx, filepath.Join(root, "modules", name), filepath.Join(kernel.modules, module)); err != nil {
			return err
		}
		order = append(order, name)
	}
	if err := os.WriteFile(filepath.Join(root, "modules", "order"), []byte(strings.Join(order, "\n")), 0o644); err != nil {
		return err
	}
	for in, here := range m.Files {
		info, err := os.Stat(here)
		if err != nil {
			return err
		}
		target := filepath.Join(root, filepath.FromSlash(in))
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), copyFile(target, here, info.Mode().Perm())); err != nil {
			return err
		}
	}
	return archive(ctx, root, initramfs)
}

// staticSelf gives this test program in a form that needs no libraries: itself, or,
// where it has the race detector or cgo in it, one that is built anew.
func staticSelf(ctx context.Context, dir string) (string, error) {
	target := filepath.Join(dir, "self")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", target, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := output(cmd); err != nil {
		return "", err
	}
	return target, nil
}

// archive writes a folder as an initramfs.
func archive(ctx context.Context, root, target string) error {
	var names bytes.Buffer
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		fmt.Fprintln(&names, rel)
		return err
	})
	if err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0")
	var complaint bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = root, &names, f, &complaint
	if err := errors.Join(cmd.Run(), f.Close()); err != nil {
		return fmt.Errorf("pack the guest's files: %w: %s", err, complaint.Bytes())
	}
	return nil
}

func copyFile(target, source string, mode fs.FileMode) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// unxz writes a module as it is without compression.
func unxz(ctx context.Context, target, source string) error {
	if !strings.HasSuffix(source, ".xz") {
		return copyFile(target, source, 0o644)
	}
	raw, err := output(exec.CommandContext(ctx, "xz", "-dc", source))
	if err != nil {
		return err
	}
	return os.WriteFile(target, raw, 0o644)
}

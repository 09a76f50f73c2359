package card

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// volume is a file system that is being made.
type volume struct {
	path  string
	size  int64
	label string
	at    time.Time // of all that is in it
}

// makeFAT makes a FAT file system with files in it: of 16 or 32 bits, with clusters of
// that many sectors.
func (v volume) makeFAT(ctx context.Context, bits, cluster int, files []File) error {
	if err := v.blank(); err != nil {
		return err
	}
	err := v.run(ctx, "mkfs.vfat", "--invariant", "-F", fmt.Sprint(bits), "-s", fmt.Sprint(cluster), "-n", v.label, v.path)
	if err != nil {
		return err
	}
	// What is in the folder of one call is written in the order of its arguments: that of
	// a folder of this machine would not be the same everywhere.
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	stage := v.path + ".d"
	byFolder := map[string][]string{}
	var folders []string
	for _, f := range files {
		folder := path.Dir(f.Name)
		for above := folder; above != "." && !slices.Contains(folders, above); above = path.Dir(above) {
			folders = append(folders, above)
		}
		here := filepath.Join(stage, filepath.FromSlash(f.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(here), 0o755), os.WriteFile(here, f.Content, 0o644), os.Chtimes(here, v.at, v.at)); err != nil {
			return err
		}
		byFolder[folder] = append(byFolder[folder], here)
	}
	slices.Sort(folders) // those above come first
	for _, folder := range folders {
		if err := v.run(ctx, "mmd", "-i", v.path, "::/"+folder); err != nil {
			return err
		}
	}
	for _, folder := range slices.Compact(slices.Sorted(slices.Values(append(folders, ".")))) {
		if len(byFolder[folder]) == 0 {
			continue
		}
		args := slices.Concat([]string{"-m", "-i", v.path}, byFolder[folder], []string{"::/" + strings.TrimPrefix(folder, ".")})
		if err := v.run(ctx, "mcopy", args...); err != nil {
			return err
		}
	}
	return os.RemoveAll(stage)
}

// The file system of the data: what it is called, and what is written in it that would
// be drawn by lot.
const (
	dataUUID = "c4ee5eb0-0a2d-4da7-a000-6368656573e5"
	// With 4 KiB blocks 2 TiB, more than the partition table can tell of.
	dataGrowsTo  = 2 << 40 >> 12
	dataFeatures = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super," +
		"large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)

// makeExt4 makes an empty ext4 that can be grown to 2 TiB while it is mounted. The
// journal has the size that a large one wants, since that does not grow. There is an
// inode for each 64 KiB: files are packages.
func (v volume) makeExt4(ctx context.Context) error {
	if err := v.blank(); err != nil {
		return err
	}
	return v.run(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-i", "65536", "-m", "0", "-L", v.label, "-U", dataUUID,
		"-O", dataFeatures, "-J", "size=16", "-e", "remount-ro",
		"-E", fmt.Sprintf("hash_seed=%s,resize=%d,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard", dataUUID, int64(dataGrowsTo)), v.path)
}

// blank makes the file, without anything in it.
func (v volume) blank() error {
	f, err := os.Create(v.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(v.size), f.Close())
}

// run runs one of Debian's tools so that it writes the same on each machine and day.
func (v volume) run(ctx context.Context, program string, args ...string) error {
	found, err := lookUp(program)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, found, args...)
	at := fmt.Sprint(v.at.Unix())
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C", "SOURCE_DATE_EPOCH="+at, "E2FSPROGS_FAKE_TIME="+at,
		"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1", "MKE2FS_CONFIG=/dev/null")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// lookUp finds a program, also where only root looks for programs.
func lookUp(program string) (string, error) {
	found, err := exec.LookPath(program)
	if err == nil {
		return found, nil
	}
	for _, folder := range []string{"/usr/sbin", "/sbin"} {
		if found, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%w (Debian: apt-get install dosfstools mtools e2fsprogs)", err)
}

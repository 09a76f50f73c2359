package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// suite is where the kernel comes from: that of Debian stable has no gpio-sim.
const suite = "trixie-backports"

// Kernel is a kernel for a guest.
type Kernel struct {
	Release string // as uname says it
	Image   string // path of the compressed image
	modules string // folder of modules.dep
}

// LabKernel gives a kernel that has what tests need, and brings it from Debian's
// mirror at the first time. The copy lies below cache, or in the user's cache folder
// where that is empty. It needs apt-get, dpkg-deb, depmod and xz.
func LabKernel(ctx context.Context, cache string) (Kernel, error) {
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return Kernel{}, fmt.Errorf("find the cache folder: %w; set XDG_CACHE_HOME or HOME", err)
		}
		cache = filepath.Join(base, "cheeseboard", "guest")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	kernels := filepath.Join(cache, "kernels")
	if k, err := newest(kernels); err == nil {
		return k, nil
	}
	if err := fetchKernel(ctx, cache, kernels); err != nil {
		return Kernel{}, fmt.Errorf("bring a kernel for guests: %w", err)
	}
	return newest(kernels)
}

// complete is a file that stands beside a kernel that was unpacked to its end.
const complete = "complete"

// newest finds the newest kernel that was brought.
func newest(kernels string) (Kernel, error) {
	names, err := filepath.Glob(filepath.Join(kernels, "*", complete))
	if err != nil || len(names) == 0 {
		return Kernel{}, errors.Join(err, fmt.Errorf("find a kernel in %s: %w", kernels, fs.ErrNotExist))
	}
	folder := slices.MaxFunc(names, func(a, b string) int {
		return compareReleases(filepath.Base(filepath.Dir(a)), filepath.Base(filepath.Dir(b)))
	})
	release := filepath.Base(filepath.Dir(folder))
	modules := filepath.Join(kernels, release, "usr", "lib", "modules", release)
	return Kernel{Release: release, Image: filepath.Join(modules, "vmlinuz"), modules: modules}, nil
}

// compareReleases orders names such as 7.3.4+deb13-amd64 by the kernel's version.
func compareReleases(a, b string) int {
	return slices.Compare(version(a), version(b))
}

func version(release string) (numbers []int) {
	release, _, _ = strings.Cut(release, "+")
	release, _, _ = strings.Cut(release, "-")
	for part := range strings.SplitSeq(release, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// fetchKernel downloads the newest kernel of the suite with an apt of its own, which
// neither reads nor writes the machine's, and unpacks it.
func fetchKernel(ctx context.Context, cache, kernels string) error {
	work := filepath.Join(cache, "apt")
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "deb"} {
		if err := os.MkdirAll(filepath.Join(work, filepath.FromSlash(dir)), 0o755); err != nil {
			return err
		}
	}
	sources := "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian " + suite + " main\n"
	config := fmt.Sprintf(`Dir::State "%[1]s/state"; Dir::State::status "/dev/null"; Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list"; Dir::Etc::sourceparts "-"; APT::Architecture "amd64"; APT::Architectures "amd64";
APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`, work)
	err := errors.Join(os.WriteFile(filepath.Join(work, "sources.list"), []byte(sources), 0o644),
		os.WriteFile(filepath.Join(work, "apt.conf"), []byte(config), 0o644))
	if err != nil {
		return err
	}
	apt := func(program string, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env, cmd.Dir = append(os.Environ(), "APT_CONFIG="+filepath.Join(work, "apt.conf")), filepath.Join(work, "deb")
		return output(cmd)
	}
	if _, err := apt("apt-get", "-q", "update"); err != nil {
		return err
	}
	names, err := apt("apt-cache", "pkgnames", "linux-binary-")
	if err != nil {
		return err
	}
	release := ""
	for name := range strings.FieldsSeq(string(names)) {
		r := strings.TrimPrefix(name, "linux-binary-")
		if strings.HasSuffix(r, "-amd64") && strings.Count(r, "-") == 1 && (release == "" || compareReleases(r, release) > 0) {
			release = r
		}
	}
	if release == "" {
		return fmt.Errorf("%s has no package linux-binary-VERSION-amd64; see what its kernels are called now", suite)
	}
	if _, err := apt("apt-get", "-q", "download", "linux-base-"+release, "linux-binary-"+release, "linux-modules-"+release); err != nil {
		return err
	}
	return unpack(ctx, filepath.Join(work, "deb"), kernels, release)
}

// unpack puts the packages of a release below kernels, and says at the end that all
// of it is there.
func unpack(ctx context.Context, debs, kernels, release string) error {
	packages, err := filepath.Glob(filepath.Join(debs, "linux-*-"+release+"_*.deb"))
	if err != nil {
		return err
	}
	fresh := filepath.Join(kernels, release)
	if err := errors.Join(os.RemoveAll(fresh), os.MkdirAll(fresh, 0o755)); err != nil {
		return err
	}
	for _, path := range packages {
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", path, fresh)); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if _, err := output(exec.CommandContext(ctx, "depmod", "-b", filepath.Join(fresh, "usr"), release)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(fresh, complete), nil, 0o644)
}

// Modules gives the paths of modules and of what they need, in the order in which
// they are to be loaded, as they are relative to the folder of modules. What is built
// into the kernel is left out.
func (k Kernel) Modules(names ...string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(k.modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	needs, paths := map[string][]string{}, map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		path, rest, _ := strings.Cut(lines.Text(), ":")
		paths[moduleName(path)], needs[path] = path, strings.Fields(rest)
	}
	for lines := bufio.NewScanner(bytes.NewReader(builtin)); lines.Scan(); {
		paths[moduleName(lines.Text())] = ""
	}
	var order []string
	add := func(path string) {
		if path != "" && !slices.Contains(order, path) {
			order = append(order, path)
		}
	}
	for _, name := range names {
		path, ok := paths[moduleName(name)]
		if !ok {
			return nil, fmt.Errorf("the kernel %s has no module %s", k.Release, name)
		}
		// Nearest first: the last of them needs nothing.
		for _, need := range slices.Backward(needs[path]) {
			add(need)
		}
		add(path)
	}
	return order, nil
}

// moduleName is a module's name without folder, endings, and the choice of hyphens.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// output runs a program and gives what it prints; what it complains of is in the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}

// lock waits until no other process holds the lock file.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

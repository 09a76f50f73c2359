package pypi

import (
	"fmt"
	"strings"
)

// Environment holds the variables that a marker can ask for (PEP 508), under
// their names with underscores, such as "python_version" and "sys_platform".
// The variable "extra" is not among them: it is an argument of Evaluate.
type Environment map[string]string

// NewEnvironment gives the environment of CPython on a platform. The version is
// that of Python, "3.11" or "3.11.7"; where the third number is left out it is
// taken for 0. What cannot be known, the release and the build of the operating
// system, is empty.
func NewEnvironment(python string, platform Platform) (Environment, error) {
	_, minor, err := parsePython(python)
	if err != nil {
		return nil, fmt.Errorf("make environment: %w", err)
	}
	full, err := ParseVersion(python)
	if err != nil {
		return nil, fmt.Errorf("make environment: %w", err)
	}
	fullText := full.String()
	if strings.Count(full.release(), ".") == 1 {
		fullText = full.release() + ".0" + full.text[full.releaseEnd:]
	}
	env := Environment{
		"implementation_name":            "cpython",
		"implementation_version":         fullText,
		"platform_python_implementation": "CPython",
		"platform_release":               "",
		"platform_version":               "",
		"python_full_version":            fullText,
		"python_version":                 fmt.Sprintf("3.%d", minor),
	}
	switch platform.OS {
	case osLinux:
		env["os_name"], env["sys_platform"], env["platform_system"] = "posix", "linux", "Linux"
		env["platform_machine"] = platform.Arch
	case osMacOS:
		env["os_name"], env["sys_platform"], env["platform_system"] = "posix", "darwin", "Darwin"
		env["platform_machine"] = platform.Arch
	case osWindows:
		env["os_name"], env["sys_platform"], env["platform_system"] = "nt", "win32", "Windows"
		env["platform_machine"] = strings.ToUpper(platform.Arch)
		if platform.Arch == "x86" {
			env["platform_machine"] = "x86"
		}
	default:
		return nil, fmt.Errorf("make environment: unknown operating system %q", platform.OS)
	}
	return env, nil
}

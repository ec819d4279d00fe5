package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os/signal"
	"syscall"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/monitor"
	"github.com/virtuoso902/org-runner/internal/monitor/page"
	"github.com/virtuoso902/org-runner/register"
)

const monitorHelp = `Serves one page, its JSON and metrics of the whole organization: who runs what,
what waits, what has run in the last week, and what it would have cost at GitHub.

  org-runner --env-file .env monitor
  docker compose up -d monitor prometheus grafana

  --listen ADDRESS        127.0.0.1:9300; a container wants :9300
  --data DIR              /var/lib/org-runner: where the history is kept
  --calls-per-hour N      1000: what it may ask of GitHub
  --hosted-cores N        2: of the GitHub runner that the price is compared with
  --host NAME             a name or address by which browsers or Prometheus reach it
                          beside loopback and its own address, as that of a proxy;
                          may be given more than once, and adds to MONITOR_HOSTS

/ is the page, /api/overview its data, /metrics is for Prometheus, /healthz and
/readyz are for whoever watches over it. It changes nothing, and there is no
password: who may reach the address may read.

It needs read access only, for which MONITOR_GITHUB_TOKEN can be a token of its
own that stands for all other credentials: "Self-hosted runners" of the organization, "Metadata"
and "Actions" of the repositories (fine-grained token, App). What the credentials
cannot see is shown as unknown, with the permission that would show it.
ALLOWED_REPOSITORIES says which repositories are looked at; none: all. With
RUNNER_RECORDS it shows memory and CPU of jobs as well.`

const (
	defaultListen  = "127.0.0.1:9300"
	defaultData    = "/var/lib/org-runner"
	defaultCalls   = 1000
	fewestCalls    = 60
	mostCalls      = 15_000 // what GitHub gives at the most
	mostHostedCore = 96
)

func runMonitor(call Invocation) error {
	set := flag.NewFlagSet("monitor", flag.ContinueOnError)
	listen, data := set.String("listen", defaultListen, ""), set.String("data", defaultData, "")
	calls, cores := set.Int("calls-per-hour", defaultCalls, ""), set.Int("hosted-cores", 2, "")
	var hosts []string
	set.Func("host", "", func(name string) error {
		host, ok := config.HostName(name)
		if !ok {
			return errors.New("a name without scheme and port is wanted, as in --host ci.example.com")
		}
		hosts = append(hosts, host)
		return nil
	})
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	own, port, err := net.SplitHostPort(*listen)
	switch {
	case err != nil || port == "":
		return fmt.Errorf("%w: --listen %q is no address with a port: write it as in 127.0.0.1:9300 or :9300", errUsage, *listen)
	case *calls < fewestCalls || *calls > mostCalls:
		return fmt.Errorf("%w: --calls-per-hour %d: give %d to %d; GitHub gives credentials 5000 or more, which the fleet needs as well", errUsage, *calls, fewestCalls, mostCalls)
	case *cores < 1 || *cores > mostHostedCore:
		return fmt.Errorf("%w: --hosted-cores %d: give 1 to %d", errUsage, *cores, mostHostedCore)
	}
	machine := config.ThisMachine()
	machine.Monitor = true
	c, err := call.parse(machine)
	if err != nil {
		return err
	}
	log := logger(call.Stderr, c)
	transport := monitor.NewTransport(register.NewTransport(), *calls)
	r, err := connect(call, c, func(o *register.Options) { o.Transport, o.Log = transport, log })
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("%w: --listen: %w: give a free address of this machine, as in --listen 127.0.0.1:9301", register.ErrConfiguration, err)
	}
	defer listener.Close()
	m, err := monitor.New(monitor.Options{
		GitHub: r.github, Transport: transport, Kind: monitorKind(c.Target.Kind), Name: c.Target.Name, ServerURL: c.ServerURL.String(), Version: call.Build.Version,
		Repositories: c.AllowedRepositories.Rules(), Allows: c.AllowedRepositories.Allows,
		Data: *data, Records: c.Records, Cores: *cores, Log: log,
	})
	if err != nil {
		return err
	}
	hosts = append(hosts, c.MonitorHosts...)
	if name, ok := config.HostName(own); ok { // of --listen; where that is :PORT, the connection tells
		hosts = append(hosts, name)
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	log.Info().Str("address", "http://"+listener.Addr().String()).Str("target", c.Target.Name).Int("calls_per_hour", *calls).Msg("monitor listens")
	return errors.Join(m.Serve(ctx, listener, maskedHandler(call.masker, m.Handler(page.Files, hosts...))), m.Close())
}

func monitorKind(kind config.TargetKind) monitor.Kind {
	switch kind {
	case config.Repository:
		return monitor.OfRepository
	case config.Enterprise:
		return monitor.OfEnterprise
	}
	return monitor.OfOrganization
}

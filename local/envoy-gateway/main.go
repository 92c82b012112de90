// Command envoy-gateway runs Envoy Gateway's controller and the server of its Envoys' configuration, by a kubeconfig.
//
// All of it is upstream's; this file is in place of upstream's command, which takes its certificates from /certs, and makes pods with
// Envoys, for which there is no node here.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/envoygateway/config"
	extension "github.com/envoyproxy/gateway/internal/extension/registry"
	translator "github.com/envoyproxy/gateway/internal/gatewayapi/runner"
	"github.com/envoyproxy/gateway/internal/message"
	provider "github.com/envoyproxy/gateway/internal/provider/runner"
	xds "github.com/envoyproxy/gateway/internal/xds/runner"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func main() {
	certificates := flag.String("certificates", "", "folder with tls.crt, tls.key and the Envoys' ca.crt")
	// controller-runtime has defined --kubeconfig.
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *certificates); err != nil {
		fmt.Fprintln(os.Stderr, "envoy-gateway:", err)
		os.Exit(1)
	}
}

type part interface {
	Start(ctx context.Context) error
}

// run starts the parts with the defaults of a cluster, and returns when ctx ends.
func run(ctx context.Context, certificates string) error {
	settings, err := config.New(os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	off := true
	settings.EnvoyGateway.SetEnvoyGatewayDefaults()
	cluster := settings.EnvoyGateway.Provider.GetEnvoyGatewayKubeProvider()
	// There is one of it, and no pod for its webhook.
	cluster.LeaderElection.Disable = &off
	cluster.TopologyInjector = &v1alpha1.EnvoyGatewayTopologyInjector{Disable: &off}
	metrics.DefaultBindAddress = "0"
	extensions, err := extension.NewManager(settings, true)
	if err != nil {
		return err
	}
	errors, resources, wanted := new(message.RunnerErrors), new(message.ProviderResources), new(message.XdsIR)
	defer errors.Close()
	defer wanted.Close()
	for _, one := range []part{
		provider.New(&provider.Config{Server: *settings, ProviderResources: resources, RunnerErrors: errors}),
		translator.New(&translator.Config{
			Server:            *settings,
			ProviderResources: resources,
			RunnerErrors:      errors,
			XdsIR:             wanted,
			InfraIR:           new(message.InfraIR),
			ExtensionManager:  extensions,
		}),
		xds.New(&xds.Config{
			Server:            *settings,
			XdsIR:             wanted,
			ExtensionManager:  extensions,
			ProviderResources: resources,
			RunnerErrors:      errors,
			TLSCertPath:       filepath.Join(certificates, "tls.crt"),
			TLSKeyPath:        filepath.Join(certificates, "tls.key"),
			TLSCaPath:         filepath.Join(certificates, "ca.crt"),
		}),
	} {
		if err := one.Start(ctx); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

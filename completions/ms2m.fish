# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ms2m_global_optspecs
    string join \n n/namespace= context= kubeconfig= config= progress= color= log-level= log-format= v/verbose q/quiet h/help V/version
end

function __fish_ms2m_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ms2m_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ms2m_using_subcommand
    set -l cmd (__fish_ms2m_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ms2m -n "__fish_ms2m_needs_command" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_needs_command" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_needs_command" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_needs_command" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_needs_command" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_needs_command" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_needs_command" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_needs_command" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_needs_command" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_needs_command" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_needs_command" -s V -l version -d 'Print version'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "check" -d 'Check whether a cluster, or one pod\'s migration, has everything that it takes'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "plan" -d 'Show what moving a pod would do, and about how long that would take'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "migrate" -d 'Move a running pod to another node'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "move" -d 'Move a running pod to another node'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "drain" -d 'Move every movable pod of a node to other nodes'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "create" -d 'Make a StatefulMigration for the controller to carry out'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "status" -d 'Show the migrations of a namespace, or one in full'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "watch" -d 'Follow a migration to its end, whoever carries it out'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "logs" -d 'Show what those who work on a migration have logged'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "abort" -d 'Roll an unfinished migration back'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "retry" -d 'Try a failed migration again, as a new one for the controller'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "delete" -d 'Delete the records of migrations that have ended'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "checkpoint" -d 'Look into checkpoint archives'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "support-bundle" -d 'Collect what helps to understand a migration, in one file'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "explain" -d 'Explain an error by its code'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "controller" -d 'Carry out StatefulMigration resources, in the cluster'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "install" -d 'Install the controller in the cluster, or print its manifests'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "uninstall" -d 'Remove the controller from the cluster'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "crd" -d 'Print the CustomResourceDefinition of StatefulMigration'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "completion" -d 'Complete commands, flags, pods, nodes, namespaces, contexts and migrations in the shell'
complete -c ms2m -n "__fish_ms2m_needs_command" -f -a "man" -d 'Write the manual pages, one for each command'
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l to -d 'The node that it would be moved to [default: as migrate would choose]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l container -d 'Container to move [default: the pod\'s first one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l queue -d 'Queue that the pod consumes' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l routing-key -d 'Key by which the queue is bound to the exchange' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l probe -d 'Look at the nodes\' own files too, by a short-lived pod on each'
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -l discover -d 'Look up what is not said: the broker with user and password in the pod\'s environment, Secrets included, queue, exchange and key at the broker. What is found is told, without passwords'
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l to -d 'The node that it would be moved to [default: as migrate would choose]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l container -d 'Container to move [default: the pod\'s first one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l queue -d 'Queue that the pod consumes' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l routing-key -d 'Key by which the queue is bound to the exchange' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -l discover -d 'Look up what is not said: the broker with user and password in the pod\'s environment, Secrets included, queue, exchange and key at the broker. What is found is told, without passwords'
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l to -d 'The node to move it to [default: of those that the pod can go to, the one with the fewest pods of its namespace]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l name -d 'Name of the migration [default: the pod\'s with five random letters]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l resume -d 'Go on with the unfinished migration of this name: pod, nodes and queues are those of its record' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l timeout -d 'How long to wait at most for the controller. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l broker-credentials -d 'Secret in the pod\'s namespace with the broker\'s user and password, under the keys username and password, for the controller: a resource holds no password' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l container -d 'Container to move [default: the pod\'s first one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l queue -d 'Queue that the pod consumes' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l routing-key -d 'Key by which the queue is bound to the exchange' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l via-controller -d 'Make a resource for the controller to carry out, and follow it to its end. Ctrl-C only stops waiting then'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l dry-run -d 'Show the plan and change nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s y -l yes -d 'Ask nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -l discover -d 'Look up what is not said: the broker with user and password in the pod\'s environment, Secrets included, queue, exchange and key at the broker. What is found is told, without passwords'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l to -d 'The node to move it to [default: of those that the pod can go to, the one with the fewest pods of its namespace]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l name -d 'Name of the migration [default: the pod\'s with five random letters]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l resume -d 'Go on with the unfinished migration of this name: pod, nodes and queues are those of its record' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l timeout -d 'How long to wait at most for the controller. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l broker-credentials -d 'Secret in the pod\'s namespace with the broker\'s user and password, under the keys username and password, for the controller: a resource holds no password' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l container -d 'Container to move [default: the pod\'s first one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l queue -d 'Queue that the pod consumes' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l routing-key -d 'Key by which the queue is bound to the exchange' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l via-controller -d 'Make a resource for the controller to carry out, and follow it to its end. Ctrl-C only stops waiting then'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l dry-run -d 'Show the plan and change nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s y -l yes -d 'Ask nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -l discover -d 'Look up what is not said: the broker with user and password in the pod\'s environment, Secrets included, queue, exchange and key at the broker. What is found is told, without passwords'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l to -d 'The node to move them to [default: for each pod the one with the fewest pods of its namespace]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s l -l selector -d 'Only pods with these labels, as app=worker' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l at-once -d 'How many pods move at once' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s A -l all-namespaces -d 'Pods of all namespaces, whatever --namespace says'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l partial -d 'Move those that can move, even if there are others that cannot'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l keep-going -d 'Begin further pods after one has failed'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -l dry-run -d 'Show the plan and change nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s y -l yes -d 'Ask nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s f -l filename -d 'Manifests, YAML or JSON, - for standard input; repeatable' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l to -d 'The node to move it to [default: the controller chooses]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l name -d 'Name of the migration [default: the pod\'s with five random letters]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l dry-run -d 'Make nothing. client: check by the CRD\'s rules alone; server: let the API server check as well' -r -f -a "client\t'This process, without a cluster'
server\t'The API server'"
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l broker-credentials -d 'Secret in the pod\'s namespace with the broker\'s user and password, under the keys username and password, for the controller: a resource holds no password' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l container -d 'Container to move [default: the pod\'s first one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l queue -d 'Queue that the pod consumes' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l routing-key -d 'Key by which the queue is bound to the exchange' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l repository -d 'Registry path to push the checkpoint image to, as registry.example.com/checkpoints' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l exchange -d 'Exchange that the producers publish to' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l strategy -d 'ShadowPod or Sequential [default: Sequential when a StatefulSet owns the pod, else ShadowPod]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l handoff -d 'How the messages change over, gate or mirror. Mirror is for an application that does not listen on its control queue: the source stays on its queue, and the target\'s state may have messages twice or not at all around the checkpoint; only the end is exact [default: gate]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l stale-identity -d 'What to do about a target that listens on the source\'s control queue, since it has kept the source\'s name: roll-back, or stop-source, after which there is no way back to the source [default: roll-back]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l force -d 'Go on where the result is uncertain: several consumers on the queue, or automatic acknowledgement. Messages may be lost or applied twice then [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l orphan -d 'Move a pod whose owner ms2m does not know, or whose StatefulSet somebody else manages. What that owner does about it is its own affair [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l strict -d 'Refuse what is else only warned about: volumes whose contents stay behind, containers that start fresh, a liveness probe that the checkpoint may trip [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l replay-cutoff -d 'How long source and target may run side by side before the handoff is forced [default: 2m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l transfer-image -d 'Image of the transfer Job [default: ms2m-transfer of this version beside the repository]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l compression -d 'Compression of the checkpoint, zstd, gzip, none or auto [default: zstd]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l registry-secret -d 'Secret of type kubernetes.io/dockerconfigjson with the registry\'s credentials' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l keep-checkpoint -d 'Keep the archive on the source node and the image in the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l direct -d 'Send the checkpoint straight to the target node, without a registry. CRI-O has to be told that localhost:5351 speaks plain HTTP [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l direct-port -d 'Port for that on the target node\'s loopback; the next one is used on its address [default: 5351]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l max-pause -d 'Open the gate once the rest of the replay takes no longer than this [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l drain-timeout -d 'How long the source may take to empty its queue before the checkpoint [default: 1m]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s l -l selector -d 'Those whose labels fit, as team=orders,tier!=test' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s a -l all -d 'List all of them, not only the latest 20 of those that have ended'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s A -l all-namespaces -d 'Those of all namespaces'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s w -l watch -d 'Go on showing changes, redrawn on a terminal, a line each elsewhere. One alone is followed by ms2m watch'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l timeout -d 'How long to wait at most. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l controller-namespace -d 'Namespace of the controller' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s o -l output -d 'Format of the lines' -r -f -a "text\t'As they are, after where they come from'
json\t'One JSON object a line; errors as {"error": …}'"
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s f -l follow -d 'Go on with lines as they come, to the end of the migration'
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l pod -d 'The pod whose latest migration is to be aborted' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l wait -d 'Wait until the process or controller that works on it has rolled it back [default: true]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l timeout -d 'How long to wait at most. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -l discover -d 'Look up what is not said: the broker with user and password in the pod\'s environment, Secrets included, queue, exchange and key at the broker. What is found is told, without passwords'
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand abort" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l new-name -d 'Name of the new migration [default: the pod\'s with five random letters]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l timeout -d 'How long to wait at most. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s o -l output -d 'Format of what is made, or with --watch of the result' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s w -l watch -d 'Follow it to its end. Ctrl-C only stops waiting then'
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand retry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l older-than -d 'All of the namespace that have ended longer ago than this, as 12h or 7d' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l wait -d 'Wait until they are gone [default: true]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l timeout -d 'How long to wait at most until they are gone. What is waited for goes on [default: without a limit]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l finished -d 'All of the namespace that have ended'
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -l force -d 'Delete one that the controller carries out, too: it is rolled back or finished first'
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and not __fish_seen_subcommand_from inspect" -f -a "inspect" -d 'Show what is in a checkpoint archive: whose it is, its processes, and what they had open'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand checkpoint; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -s f -l file -d 'Where to write it [default: ms2m-NAME.tar.gz]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l controller-namespace -d 'Namespace of the controller' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l broker-url -d 'Broker, as amqp://USER:PASSWORD@HOST:5672/VHOST. Prefer the environment for a password: arguments can be seen by other users' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l management-url -d 'Management API of the broker [default: port 15672 of the broker\'s host]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l registry-plain-http -d 'Talk plain HTTP to the registry [default: false]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l settle -d 'How long a queue must stay empty to count as quiet, where the broker does not count what is unacknowledged; longer than the application takes for one message [default: 2s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l obey-timeout -d 'How long the application may take to obey a control message [default: 30s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l source-grace -d 'Grace period that the source is deleted with [default: 1s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand support-bundle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -s o -l output -d 'Format of the output' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l max-at-once -d 'How many migrations may be under way at once' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l max-per-node -d 'How many of them may leave or reach one node' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l listen -d 'Where to listen for /metrics, /healthz and /readyz; port 0 takes any free one' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l lease -d 'Name of the Lease by which one of several controllers leads' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l lease-namespace -d 'Namespace of that Lease [default: $POD_NAMESPACE, or the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand controller" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l image -d 'Image of the controller, as registry.example.com/ms2m:0.1.0; needed unless --export' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l install-namespace -d 'Namespace that the controller runs in' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l watch-namespace -d 'The only namespace whose migrations it carries out, with rights there alone [default: all]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l replicas -d 'How many controllers run; one works, and another takes over when it ends' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l max-at-once -d 'How many migrations may be under way at once' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l max-per-node -d 'How many of them may take part of one node' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l listen -d 'Where it serves metrics and probes, as [::]:8080; $(POD_IP) is the pod\'s address' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l dry-run -d 'Change nothing: say what would be sent (client), or have the API server check it (server)' -r -f -a "client\t'Here: no cluster is asked'
server\t'In the API server, which checks everything and keeps nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l wait -d 'Wait until everything is as it should be [default: true]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l timeout -d 'How long to wait' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l export -d 'Print the manifests as YAML, and touch nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -l force-conflicts -d 'Take over fields that somebody else has set'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s y -l yes -d 'Ask nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l install-namespace -d 'Namespace that the controller runs in' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l dry-run -d 'Change nothing: say what would be sent (client), or have the API server check it (server)' -r -f -a "client\t'Here: no cluster is asked'
server\t'In the API server, which checks everything and keeps nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l wait -d 'Wait until everything is as it should be [default: true]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l timeout -d 'How long to wait' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s o -l output -d 'Format of the result on stdout' -r -f -a "table\t'For people'
wide\t'For people, with more columns where there are any'
json\t'JSON; of what takes a while, one object a line as it happens'
yaml\t'YAML'
name\t'Names only, a line each'"
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -l crd -d 'Remove the CRD too, and with it every StatefulMigration of the cluster'
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s y -l yes -d 'Ask nothing'
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -s o -l output -d 'Format of the output' -r -f -a "yaml\t'YAML'
json\t'JSON'"
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand crd" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -f -a "bash" -d 'Print the script for GNU Bash'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -f -a "zsh" -d 'Print the script for the Z shell'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -f -a "fish" -d 'Print the script for fish'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and not __fish_seen_subcommand_from bash zsh fish install" -f -a "install" -d 'Write the script where the shell looks for it'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -l static -d 'A script that never runs ms2m: it knows commands and flags, and nothing of the cluster'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from bash" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -l static -d 'A script that never runs ms2m: it knows commands and flags, and nothing of the cluster'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from zsh" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -l static -d 'A script that never runs ms2m: it knows commands and flags, and nothing of the cluster'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from fish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -l kubectl -d 'Make `kubectl ms2m` work too, with completion: two links beside ms2m itself'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand completion; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -s n -l namespace -d 'Namespace of the pod [default: the context\'s]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l kubeconfig -d 'Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod\'s service account]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l config -d 'Path of ms2m\'s own configuration [default: ms2m/config.yaml in $XDG_CONFIG_HOME or ~/.config]' -r -F
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l progress -l show-progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines otherwise'
bar\t'Bars, redrawn in place; lines where there is no terminal'
counter\t'One line that counts, redrawn in place; a line every two seconds where there is no terminal'
lines\t'One plain line an event'
none\t'Nothing'"
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l color -d 'When to use colours; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l log-level -d 'What to log to stderr: error, warn, info, debug, trace, or a filter such as ms2m=debug,kube=info [default: $RUST_LOG, or nothing]' -r
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -l log-format -d 'How a log line looks' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -s v -l verbose -d 'Log more: -v info, -vv debug, -vvv trace'
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -s q -l quiet -d 'No progress, no warnings: nothing on stderr but errors and questions'
complete -c ms2m -n "__fish_ms2m_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'

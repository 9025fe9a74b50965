"""Policy server and watchdog for a robot whose controllers run already (see params/controllers.yaml).

ros2 launch pgx_bringup robot.launch.py bundle_path:=/opt/robot/bundle
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, NotEqualsSubstitution, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

SHARE = FindPackageShare("pgx_bringup")
TRANSPORT = "FASTDDS_BUILTIN_TRANSPORTS"  # through shared memory a listener that is killed holds up its publishers
ARGUMENTS = {
    "bundle_path": (None, "folder of the bundle"),
    "robot": ("robot", "name of the parameter file"),
    "params_file": ([SHARE, "/params/", LaunchConfiguration("robot"), ".yaml"], "parameters"),
    "namespace": ("", "of all nodes"),
    "use_sim_time": ("false", "serve on a simulator's clock"),
    "autostart": ("true", "configure and activate as soon as the inputs are fresh; false: leave it to the operator"),
    "odom": ("odom", "topic of the odometry"),
    "imu": ("imu_sensor_broadcaster/imu", "topic of the IMU, as ros2_control's broadcaster names it"),
    "headless": ("true", "taken for symmetry; a robot has no viewer"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "record": ("", "folder of an MCAP recording; empty: none"),
}


def generate_launch_description():
    """Describe it."""
    server = _node("policy_server", {"autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool)})
    watchdog = _node("watchdog", {}, respawn=True)
    recorder = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "record.launch.py"])),
        launch_arguments={"record": LaunchConfiguration("record")}.items(),
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("record"), "")),
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    transport = SetEnvironmentVariable(TRANSPORT, EnvironmentVariable(TRANSPORT, default_value="UDPv4"))
    return LaunchDescription([*arguments, transport, watchdog, server, recorder])


def _node(name, parameters, respawn=False):
    common = {
        "bundle_path": LaunchConfiguration("bundle_path"),
        "use_sim_time": LaunchConfiguration("use_sim_time"),
    }
    return Node(
        package="pgx_policy_server",
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        # With substitutions allowed a file that is missing ends the launch; else the nodes would start without it.
        parameters=[ParameterFile(LaunchConfiguration("params_file"), allow_substs=True), common, parameters],
        remappings=[("imu/data", LaunchConfiguration("imu")), ("odom", LaunchConfiguration("odom"))],
        respawn=respawn,
        respawn_delay=0.5,
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )

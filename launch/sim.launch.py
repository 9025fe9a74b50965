"""Simulated robot, policy server and watchdog, configured and activated.

ros2 launch pgx_bringup sim.launch.py bundle_path:=runs/demo/bundle
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare
from pgx_bringup.share import PROFILES_FILE

from launch import LaunchDescription

SHARE = FindPackageShare("pgx_bringup")
PROFILE = [FindPackageShare("pgx_sim"), "/config/fastdds.xml"]  # a real robot may listen to the same topics
VIEWER = PythonExpression(["'", LaunchConfiguration("headless"), "'.lower() != 'true'"])
ARGUMENTS = {
    "bundle_path": (None, "folder of the bundle"),
    "robot": ("sim", "name of the parameter file"),
    "params_file": ([SHARE, "/params/", LaunchConfiguration("robot"), ".yaml"], "parameters"),
    "namespace": ("", "of all nodes"),
    "use_sim_time": ("true", "always: the simulated robot tells the time"),
    "autostart": ("true", "configure and activate as soon as the inputs are fresh"),
    "headless": ("true", "no viewer"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "record": ("", "folder of an MCAP recording; empty: none"),
}
CHOICES = {"use_sim_time": ["true"]}  # on the wall clock no reading of the simulated robot would be fresh


def generate_launch_description():
    """Describe it."""
    sim = Node(
        package="pgx_sim",
        executable="sim",
        name="pgx_sim",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            # See robot.launch.py. Here too, since what has started before the launch ends so would be left running.
            ParameterFile(LaunchConfiguration("params_file"), allow_substs=True),
            {
                "bundle_path": LaunchConfiguration("bundle_path"),
                "viewer": ParameterValue(VIEWER, value_type=bool),
            },
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        on_exit=Shutdown(reason="the simulated robot has ended"),
    )
    names = tuple(ARGUMENTS)
    server = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "robot.launch.py"])),
        launch_arguments=({name: LaunchConfiguration(name) for name in names} | {"imu": "imu/data"}).items(),
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=CHOICES.get(name))
        for name, (default, description) in ARGUMENTS.items()
    ]
    loopback = SetEnvironmentVariable(PROFILES_FILE, EnvironmentVariable(PROFILES_FILE, default_value=PROFILE))
    return LaunchDescription([*arguments, loopback, sim, server])
